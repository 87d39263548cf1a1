// The open moment: player, timeline with two heat strips, reasons, and what to do with it.

import { at, clock, make, player, seek, badge, span, split, strip, tags, tenths } from "./view.js";

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
    timeline(hit),
    make("div", { class: "row", children: [
      make("span", { class: `band-${hit.band}`, text: `${hit.band} · ${hit.score.toFixed(2)}` }),
      make("span", { text: span(hit) }), time,
      ...(badge(hit) ? [make("span", { text: badge(hit) })] : []),
    ] }),
    why(hit),
    judge(actions),
    more(hit, actions),
    make("p", { class: "path", text: hit.path }),
  );
  drawer.hidden = false;
  document.getElementById("close").focus();
}

// Strips over the whole file, so that the moment is seen in its place; click or Enter seeks.
function timeline(hit) {
  const [from, to] = hit.duration_s <= 4 * (hit.end_s - hit.start_s)
    ? [0, hit.duration_s]
    : [Math.max(hit.start_s - 5, 0), Math.min(hit.end_s + 5, hit.duration_s)];
  const row = (kind, part, word) => {
    const heat = strip(kind, part, hit, from, to);
    heat.setAttribute("data-strip", kind);
    heat.addEventListener("click", (event) => {
      const box = heat.getBoundingClientRect();
      jump(from + ((event.clientX - box.left) / box.width) * (to - from));
    });
    return [make("span", { class: kind === "sight" ? "seen" : "heard", text: word }), heat];
  };
  return make("div", { class: "timeline", children: [
    ...row("sight", hit.sight, "seen"), ...row("hearing", hit.hearing, "heard"),
    make("span"), make("span", { class: "line", children: [
      make("span", { text: clock(from) }), make("span", { text: clock(to) }),
    ] }),
  ] });
}

function jump(seconds) {
  seek(video, seconds);
  video.play().catch(() => {});
}

function best(part, count) {
  return part.times_s
    .map((time, i) => [part.weights[i], time]).sort((a, b) => b[0] - a[0]).slice(0, count)
    .map(([, time]) => time).sort((a, b) => a - b);
}

function why(hit) {
  const frames = hit.fps > 0 ? best(hit.sight, 3).map((time) => make("button", {
    type: "button", "aria-label": `Go to ${tenths(time)}, seen best`, on: { click: () => jump(time) },
    children: [
      make("img", { alt: "", loading: "lazy", src: `${hit.frame}${hit.frame.includes("?") ? "&" : "?"}at_s=${time.toFixed(2)}&height=120` }),
      make("span", { text: tenths(time) }),
    ],
  })) : [];
  const sounds = best(hit.hearing, 3).map((time) => make("button", {
    type: "button", text: `♪ ${tenths(time)}`, "aria-label": `Go to ${tenths(time)}, heard best`,
    on: { click: () => jump(time) },
  }));
  return make("div", { children: [
    split(hit),
    make("p", { children: [make("strong", { class: "seen", text: `seen ${hit.seen.toFixed(2)}  ` }), tags(hit.sight)] }),
    make("div", { class: "frames", children: frames }),
    make("p", { children: [make("strong", { class: "heard", text: `heard ${hit.heard.toFixed(2)}  ` }), tags(hit.hearing)] }),
    make("div", { class: "row", children: sounds }),
  ] });
}

function judge({ mode, rejudge }) {
  const button = (id, name, to, title) => make("button", {
    id, type: "button", text: name, title, "aria-pressed": String(mode() === to),
    on: { click: () => rejudge(mode() === to ? "both" : to) },
  });
  return make("div", { class: "row", role: "group", "aria-label": "Judge again", children: [
    button("mute", "Mute", "seen", "Judge all moments again without sound (u)"),
    button("blindfold", "Blindfold", "heard", "Judge all moments again without sight (b)"),
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
