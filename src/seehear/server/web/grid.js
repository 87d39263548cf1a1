// The cards: pictures that play under the pointer or the focus, strips, bars, selection.

import { badge, best, frameAt, make, player, span, split, strip } from "./view.js";

const grid = document.getElementById("grid");
const WAIT_MS = 250;
export let hits = [];
let withSound = false;

export function toggleSound() {
  withSound = !withSound;
  for (const video of grid.querySelectorAll("video")) video.muted = !withSound;
}

export function show(found, { append = false, open, select, isSelected }) {
  if (!append) {
    grid.replaceChildren();
    hits = [];
  }
  for (const hit of found) {
    const before = hits.at(-1);
    if (hit.confidence === "weak" && before && before.confidence !== "weak") {
      grid.append(make("li", { class: "divider", text: "weaker matches below" }));
    }
    hits.push(hit);
    grid.append(card(hit, { open, select, isSelected }));
  }
}

function card(hit, { open, select, isSelected }) {
  const picture = make("div", { class: "picture" });
  if (hit.fps > 0) picture.append(make("img", { src: hit.thumbnail, alt: "", loading: "lazy" }), ...bestFrame(hit));
  else picture.append(make("span", { text: "♪ sound only" }));
  if (badge(hit)) picture.append(make("span", { class: "badge", text: badge(hit) }));
  picture.append(make("span", { class: "when", text: span(hit) }));
  const button = make("button", {
    class: "open-button", type: "button", "data-item": hit.item,
    "aria-label": `${hit.rank}. ${hit.name}, ${span(hit)}, ${hit.confidence} match`,
    children: [picture], on: { click: () => open(hit) },
  });
  const tick = make("button", {
    class: "tick", type: "button", text: isSelected(hit) ? "Selected" : "Select",
    "aria-pressed": String(isSelected(hit)), "aria-label": `Select ${hit.name}, ${span(hit)}`,
    on: { click: () => select(hit) },
  });
  const body = make("div", { class: "body", children: [
    make("div", { children: [strip("seen", hit.seen_timeline, hit), strip("heard", hit.heard_timeline, hit)] }),
    make("h3", { text: hit.name }),
    split(hit),
    make("div", { class: "line", children: [
      make("span", { class: `confidence-${hit.confidence}`, text: `${hit.confidence} · ${hit.score.toFixed(2)}` }),
      make("span", { class: "engine", text: hit.engine, title: "engine that scored this moment" }), tick,
    ] }),
  ] });
  preview(button, picture, hit);
  return make("li", { class: "card", "data-item": hit.item, children: [button, body] });
}

// The frame that matched best, over the stored one (the middle), as soon as its card is looked at.
function bestFrame(hit) {
  const { times_s: times, weights } = hit.seen_timeline;
  const [time] = best(hit.seen_timeline, 1);
  if (time === undefined || weights[times.indexOf(time)] < 1.2 * weights[times.length >> 1]) return [];
  const frame = make("img", { class: "best", alt: "", "data-src": frameAt(hit, time, 240), on: { error: () => frame.remove() } });
  onScreen.observe(frame);
  return [frame];
}

const onScreen = new IntersectionObserver((entries) => {
  for (const { target } of entries.filter((entry) => entry.isIntersecting)) {
    onScreen.unobserve(target);
    target.src = target.dataset.src;
  }
});

function preview(button, picture, hit) {
  let timer = 0;
  const start = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (picture.querySelector("video")) return;
      const video = player(hit, { muted: !withSound });
      video.tabIndex = -1;
      video.autoplay = true;
      picture.prepend(video);
      picture.append(picture.firstChild); // above the still
      picture.append(...picture.querySelectorAll(".badge, .when"));
      video.play().catch(() => {});
    }, matchMedia("(prefers-reduced-motion: reduce)").matches ? 1e9 : WAIT_MS);
  };
  const stop = () => {
    clearTimeout(timer);
    for (const video of picture.querySelectorAll("video")) {
      video.removeAttribute("src");
      video.load();
      video.remove();
    }
  };
  for (const event of ["mouseenter", "focus"]) button.addEventListener(event, start);
  for (const event of ["mouseleave", "blur"]) button.addEventListener(event, stop);
}

export function mark(item) {
  for (const one of grid.querySelectorAll(".card")) one.classList.toggle("open", one.dataset.item === item);
}

export function refreshSelection(isSelected) {
  for (const hit of hits) {
    const tick = grid.querySelector(`.card[data-item="${hit.item}"] .tick`);
    tick.setAttribute("aria-pressed", String(isSelected(hit)));
    tick.textContent = isSelected(hit) ? "Selected" : "Select";
  }
}

// Move the focus by cards; up and down by rows, as displayed.
export function move(key) {
  const buttons = [...grid.querySelectorAll(".open-button")];
  const now = buttons.indexOf(document.activeElement);
  if (now < 0) return buttons[0]?.focus();
  const top = (button) => Math.round(button.getBoundingClientRect().top);
  const columns = buttons.filter((button) => top(button) === top(buttons[0])).length || 1;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[key];
  buttons[Math.min(Math.max(now + step, 0), buttons.length - 1)].focus();
}

export function focused() {
  const item = document.activeElement?.closest?.(".card")?.dataset.item;
  return hits.find((hit) => hit.item === item);
}
