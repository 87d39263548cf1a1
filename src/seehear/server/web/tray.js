// The selection: order it, then save it as a table, an edit list or clips.

import { call } from "./api.js";
import { make, span } from "./view.js";

const tray = document.getElementById("tray");
const list = document.getElementById("chosen");
let chosen = [];
let changed = () => {};

export const isSelected = (hit) => chosen.some((one) => one.item === hit.item);

export function toggle(hit) {
  chosen = isSelected(hit) ? chosen.filter((one) => one.item !== hit.item) : [...chosen, hit];
  draw();
}

export function onChange(heard) { changed = heard; }

function swap(i, j) {
  [chosen[i], chosen[j]] = [chosen[j], chosen[i]];
  draw();
  list.children[j].querySelector("button").focus();
}

function draw() {
  tray.hidden = chosen.length === 0;
  list.replaceChildren(...chosen.map((hit, i) => make("li", { children: [
    make("span", { text: `${i + 1}. ${hit.name} ${span(hit)}` }),
    make("button", { type: "button", text: "‹", disabled: i === 0, "aria-label": `Move ${hit.name} forward`, on: { click: () => swap(i, i - 1) } }),
    make("button", { type: "button", text: "›", disabled: i === chosen.length - 1, "aria-label": `Move ${hit.name} back`, on: { click: () => swap(i, i + 1) } }),
    make("button", { type: "button", text: "×", "aria-label": `Take ${hit.name} out`, on: { click: () => toggle(hit) } }),
  ] })));
  changed();
}

document.getElementById("clear").addEventListener("click", () => { chosen = []; draw(); });

export async function save(fail) {
  if (!chosen.length) return;
  const [format, exact] = document.getElementById("format").value.split(" ");
  const moments = chosen.map((hit) => ({ item: hit.item, start_s: hit.start_s, end_s: hit.end_s }));
  try {
    const answer = await call("/export", { method: "POST", json: { format, moments, exact: Boolean(exact) }, raw: true });
    const link = make("a", {
      href: URL.createObjectURL(await answer.blob()),
      download: format === "clips" ? "seehear-clips.zip" : `seehear.${format}`,
    });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  } catch (error) {
    fail(error);
  }
}
