// The open moment: player, timeline with two heat strips, reasons, and what to do with it.

import { at, badge, best, clock, count, frameAt, make, player, seek, span, split, strip, svg, tags, tenths } from "./view.js";

const drawer = document.getElementById("drawer");
let opener = null;
let video = null;

export const isOpen = () => !drawer.hidden;

export function close() {
  video?.pause();
  drawer.hidden = true;
  drawer.replaceChildren();
  opener?.focus?.();
}

export function playOrPause() {
  if (video?.paused) video.play().catch(() => {});
  else video?.pause();
}

export function open(hit, actions) {
  if (!isOpen()) opener = document.activeElement;
  video = player(hit, { controls: true });
  const time = make("span", { class: "line", "aria-hidden": "true", text: clock(hit.start_s) });
  video.addEventListener("timeupdate", () => { time.textContent = clock(at(video)); });
  drawer.replaceChildren(
    make("div", { class: "top", children: [
      make("h2", { id: "moment", text: hit.name }),
      make("button", { type: "button", text: "Close", id: "close", on: { click: close } }),
    ] }),
    video,
    timeline(hit, actions.foundIn(hit)),
    make("div", { class: "row", children: [
      make("span", { class: `confidence-${hit.confidence}`, text: `${hit.confidence} · ${hit.score.toFixed(2)}` }),
      make("span", { text: span(hit) }), time,
      ...(badge(hit) ? [make("span", { text: badge(hit) })] : []),
    ] }),
    why(hit),
    searchAgainButtons(actions),
    more(hit, actions),
    make("p", { class: "path", text: hit.path }),
  );
  drawer.hidden = false;
  document.getElementById("close").focus();
}

// The moment's position in the film, other hits in it, and when it was seen and heard.
function timeline(hit, found) {
  const isPart = hit.duration_s > 4 * (hit.end_s - hit.start_s);
  const [from, to] = isPart
    ? [Math.max(hit.start_s - 5, 0), Math.min(hit.end_s + 5, hit.duration_s)]
    : [0, hit.duration_s];
  const row = (kind, part) => [
    make("span", { class: kind, text: kind }),
    slider(strip(kind, part, hit, from, to), kind, from, to, part.times_s),
  ];
  const ends = (first, last) => [make("span"), make("span", { class: "line", children: [
    make("span", { text: clock(first) }), make("span", { text: clock(last) }),
  ] })];
  return make("div", { class: "timeline", children: [
    ...(isPart ? [make("span", { text: "film" }), film(hit, found), ...ends(0, hit.duration_s)] : []),
    ...row("seen", hit.seen_timeline), ...row("heard", hit.heard_timeline), ...ends(from, to),
  ] });
}

// The film with the moments found in it; the open one is filled.
function film(hit, found) {
  const scale = 1000 / hit.duration_s;
  const marks = found.map((one) => svg("rect", {
    x: one.start_s * scale, width: Math.max((one.end_s - one.start_s) * scale - 3, 3), y: 0, height: 8,
    class: one.item === hit.item ? "this" : "found",
  }));
  const label = `All of the film; ${count(found.length, "moment")} found in it`;
  const bar = svg("svg", { class: "strip", viewBox: "0 0 1000 8", preserveAspectRatio: "none", role: "img", "aria-label": label }, marks);
  return slider(bar, "film", 0, hit.duration_s, found.map((one) => one.start_s));
}

// Makes a strip seek: by click, or by arrow keys from stop to stop; a line shows where the player is.
function slider(bar, name, from, to, stops) {
  bar.dataset.strip = name;
  const head = svg("rect", { class: "head", y: 0, width: 4, height: 8 });
  bar.append(head);
  const updatePosition = () => {
    const now = Math.min(Math.max(at(video), from), to);
    head.setAttribute("x", ((now - from) / Math.max(to - from, 0.001)) * 1000 - 2);
    bar.setAttribute("aria-valuenow", now.toFixed(1));
    bar.setAttribute("aria-valuetext", tenths(now));
  };
  const given = { role: "slider", tabindex: 0, "aria-valuemin": from.toFixed(1), "aria-valuemax": to.toFixed(1) };
  for (const [key, value] of Object.entries(given)) bar.setAttribute(key, value);
  updatePosition();
  for (const event of ["timeupdate", "seeking"]) video.addEventListener(event, updatePosition);
  bar.addEventListener("click", (event) => {
    const box = bar.getBoundingClientRect();
    jump(from + ((event.clientX - box.left) / box.width) * (to - from));
  });
  const sorted = [...stops].sort((a, b) => a - b);
  bar.addEventListener("keydown", (event) => {
    const now = at(video);
    const target = {
      ArrowRight: sorted.find((time) => time > now + 0.05), ArrowLeft: sorted.findLast((time) => time < now - 0.05),
      Home: from, End: sorted.at(-1),
    }[event.key];
    if (target === undefined) return;
    event.preventDefault();
    seek(video, target);
  });
  return bar;
}

function jump(seconds) {
  seek(video, seconds);
  video.play().catch(() => {});
}

function why(hit) {
  const frames = hit.fps > 0 ? best(hit.seen_timeline, 3).map((time) => make("button", {
    type: "button", "aria-label": `Go to ${tenths(time)}, seen best`, on: { click: () => jump(time) },
    children: [
      make("img", { alt: "", loading: "lazy", src: frameAt(hit, time, 120) }),
      make("span", { text: tenths(time) }),
    ],
  })) : [];
  const sounds = best(hit.heard_timeline, 3).map((time) => make("button", {
    type: "button", text: `♪ ${tenths(time)}`, "aria-label": `Go to ${tenths(time)}, heard best`,
    on: { click: () => jump(time) },
  }));
  return make("div", { children: [
    split(hit),
    make("p", { children: [make("strong", { class: "seen", text: `seen ${hit.seen.toFixed(2)}  ` }), tags(hit.seen_timeline)] }),
    make("div", { class: "frames", children: frames }),
    make("p", { children: [make("strong", { class: "heard", text: `heard ${hit.heard.toFixed(2)}  ` }), tags(hit.heard_timeline)] }),
    make("div", { class: "row", children: sounds }),
  ] });
}

function searchAgainButtons({ mode, searchAgain }) {
  const button = (id, name, to, title) => make("button", {
    id, type: "button", text: name, title, "aria-pressed": String(mode() === to),
    on: { click: () => searchAgain(mode() === to ? "both" : to) },
  });
  return make("div", { class: "row", role: "group", "aria-label": "Search again", children: [
    button("mute", "Mute", "seen", "Search again without sound (u)"),
    button("blindfold", "Blindfold", "heard", "Search again without sight (b)"),
    make("span", { id: "rank-change", role: "status" }),
  ] });
}

function more(hit, { like, select, isSelected }) {
  const similar = (text, mode) => make("button", { type: "button", text, on: { click: () => like(hit, mode) } });
  const copy = make("button", { type: "button", text: "Copy link", on: { click: async () => {
    const link = new URL(`${hit.media}#t=${hit.start_s.toFixed(2)},${hit.end_s.toFixed(2)}`, location.href).href;
    if (!navigator.clipboard) return prompt("Copy this link:", link); // a page without TLS has none
    await navigator.clipboard.writeText(link);
    copy.textContent = "Copied";
  } } });
  const buttons = [];
  if (hit.fps > 0) buttons.push(similar("Looks like this", "seen"));
  if (hit.sound === "sound") buttons.push(similar("Sounds like this", "heard"));
  if (buttons.length === 2) buttons.push(similar("Both", "both"));
  return make("div", { class: "row", children: [
    ...buttons, copy,
    make("button", { id: "select-open", type: "button", text: isSelected(hit) ? "Selected" : "Select",
      "aria-pressed": String(isSelected(hit)), on: { click: (event) => {
        select(hit);
        event.target.textContent = isSelected(hit) ? "Selected" : "Select";
        event.target.setAttribute("aria-pressed", String(isSelected(hit)));
      } } }),
  ] });
}
