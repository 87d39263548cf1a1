// Small parts that cards and the drawer share: elements, clocks, heat strips, bars, players.

const SVG = "http://www.w3.org/2000/svg";

export function make(tag, { text, children = [], on = {}, ...attributes } = {}) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined) element.setAttribute(name, value);
  }
  if (text !== undefined) element.textContent = text;
  for (const [event, heard] of Object.entries(on)) element.addEventListener(event, heard);
  element.append(...children);
  return element;
}

export function svg(tag, attributes, children = []) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export function clock(seconds) {
  const whole = Math.floor(seconds);
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  const rest = `${String(whole % 60).padStart(2, "0")}`;
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

export const count = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;
export const tenths = (seconds) => `${clock(seconds)}.${Math.floor(10 * (seconds % 1))}`;
export const span = (hit) => `${clock(hit.start_s)} – ${clock(hit.end_s)}`;

// One cell a token, as strong as its weight; `from`..`to` are the seconds that the strip spans.
export function strip(kind, part, hit, from = hit.start_s, to = hit.end_s) {
  const scale = 1000 / Math.max(to - from, 0.001);
  const width = ((hit.end_s - hit.start_s) / Math.max(part.times_s.length, 1)) * scale;
  const cells = part.times_s.map((time, i) => svg("rect", {
    x: (time - from) * scale - width / 2, y: 0, width: Math.max(width, 4), height: 8,
    "fill-opacity": Math.max(part.weights[i], 0.06).toFixed(2), class: kind,
  }));
  const best = part.times_s[part.weights.indexOf(Math.max(...part.weights))];
  const label = part.times_s.length
    ? `${kind === "seen" ? "Seen" : "Heard"} best at ${clock(best)}`
    : `Nothing ${kind === "seen" ? "to see" : "to hear"}`;
  return svg("svg", {
    class: "strip", viewBox: "0 0 1000 8", preserveAspectRatio: "none", role: "img", "aria-label": label,
  }, cells);
}

// How much of the score was seen and how much heard.
export function split(hit) {
  const seen = Math.max(hit.seen, 0);
  const heard = Math.max(hit.heard, 0);
  const share = Math.round((100 * seen) / Math.max(seen + heard, 1e-9));
  const rest = heard > 0 ? 100 - share : 0; // nothing at all where neither modality adds
  return svg("svg", {
    class: "split", viewBox: "0 0 100 6", preserveAspectRatio: "none", role: "img",
    "aria-label": `${share} percent seen, ${rest} percent heard`,
  }, [
    svg("rect", { x: 0, width: share, height: 6, class: "seen" }),
    svg("rect", { x: share, width: rest, height: 6, class: "heard" }),
  ]);
}

export function tags(part) {
  return part.tags.map((tag) => `${tag.name} ${Math.round(100 * tag.share)}%`).join(", ");
}

// What a viewer should know first: no sound, a silent one, whether it matches the picture, or a clip put
// together from both (in a folder of that name, as the demo keeps them).
export function badge(hit) {
  const matches = { true: "sound matches picture", false: "unrelated sound" }[hit.av_correspondence] ?? "";
  const made = hit.path.split(/[\\/]/).includes("composed") ? "composed" : "";
  return [made, { none: "no sound", silent: "silent", sound: matches }[hit.sound]].filter(Boolean).join(" · ");
}

// A player of one moment; where the browser cannot play the file, of a small copy of the moment.
export function player(hit, { muted = false, controls = false } = {}) {
  const video = make("video", { preload: "metadata", playsinline: true, controls, "aria-label": `${hit.name}, ${span(hit)}` });
  video.muted = muted;
  video.dataset.offset = "0";
  const useCopy = () => {
    if (video.dataset.offset !== "0") return;
    video.dataset.offset = String(hit.start_s || -1e-9);
    const wasPlaying = video.autoplay;
    video.src = hit.proxy;
    if (wasPlaying) video.play().catch(() => {});
  };
  video.addEventListener("error", useCopy);
  video.addEventListener("loadedmetadata", () => {
    if (!video.videoWidth && hit.fps > 0) useCopy();
  });
  video.addEventListener("timeupdate", () => {
    if (at(video) >= hit.end_s && !controls) seek(video, hit.start_s);
  });
  video.src = `${hit.media}#t=${hit.start_s.toFixed(2)},${hit.end_s.toFixed(2)}`;
  return video;
}

// The seconds of the tokens that weigh most, in the order of time.
export function best(part, count) {
  const strongest = part.times_s
    .map((time, i) => [part.weights[i], time]).sort((a, b) => b[0] - a[0]).map(([, time]) => time);
  return [...new Set(strongest)].slice(0, count).sort((a, b) => a - b); // sound has twelve tokens a column
}

export const frameAt = (hit, time, height) =>
  `${hit.frame}${hit.frame.includes("?") ? "&" : "?"}at_s=${time.toFixed(2)}&height=${height}`;

export const at = (video) => video.currentTime + Number(video.dataset.offset);
export function seek(video, seconds) {
  video.currentTime = Math.max(seconds - Number(video.dataset.offset), 0);
}
