// Entry point: query form, results, keyboard shortcuts.

import { call } from "./api.js";
import * as drawer from "./drawer.js";
import * as grid from "./grid.js";
import * as ingest from "./ingest.js";
import * as tray from "./tray.js";
import { count, make, span } from "./view.js";

const $ = (id) => document.getElementById(id);
const PAGE = 24;
let file = null; // an example to search with, in place of words
let item = null; // a moment to search with
let next = null;
let shown = null; // the hit in the drawer
let asked = 0;

const actions = {
  mode: () => $("mode").value,
  searchAgain: async (mode) => {
    $("mode").value = mode;
    const kept = shown;
    await search();
    const again = grid.hits.find((hit) => hit.item === kept.item);
    open(again ?? kept);
    $("rank-change").textContent = again ? `now number ${again.rank}, was ${kept.rank}` : `was ${kept.rank}, now below the first ${grid.hits.length}`;
    $({ seen: "mute", heard: "blindfold" }[mode] ?? "mute").focus();
  },
  like: (hit, mode) => {
    setExample(null, hit);
    $("mode").value = mode;
    drawer.close();
    search();
  },
  select: (hit) => tray.toggle(hit),
  isSelected: tray.isSelected,
  foundIn: ({ video }) => grid.hits.filter((one) => one.video === video),
};

function open(hit) {
  shown = hit;
  drawer.open(hit, actions);
  grid.mark(hit.item);
}

function question(offset) {
  const number = (id) => ($(id).value === "" ? null : Number($(id).value));
  const sound = $("sound").value;
  return {
    mode: $("mode").value,
    audio_weight: $("auto").checked ? null : Number($("share").value) / 100,
    limit: PAGE,
    offset,
    exact: $("exact").checked,
    where: {
      folder: $("folder").value || null,
      min_duration_s: number("min"),
      max_duration_s: number("max"),
      has_sound: { true: true, false: false }[sound] ?? null,
      av_correspondence: { matches: true, unrelated: false }[sound] ?? null,
    },
  };
}

async function search({ append = false } = {}) {
  const text = $("text").value.trim();
  if (!text && !file && !item) return;
  const turn = ++asked;
  $("results").setAttribute("aria-busy", "true");
  try {
    const query = question(append ? next : 0);
    let answer;
    if (file) {
      const form = new FormData();
      form.append("file", file);
      form.append("query", JSON.stringify(query));
      answer = await call("/search/upload", { method: "POST", form });
    } else {
      const what = item ? { item: item.item } : { text };
      answer = await call("/search", { method: "POST", json: { ...query, ...what } });
    }
    if (turn !== asked) return; // a newer search has started
    showAnswer(answer, append);
  } catch (error) {
    if (turn === asked) fail(error);
  } finally {
    if (turn === asked) $("results").removeAttribute("aria-busy");
  }
}

function showAnswer(answer, append) {
  for (const old of document.querySelectorAll(".notice")) old.remove();
  $("empty").hidden = answer.hits.length > 0 || append;
  if (answer.verdict) notice(answer.verdict[0].toUpperCase() + answer.verdict.slice(1) + ".");
  if (!answer.hits.length && !append) {
    $("empty").querySelector("h2").textContent = "Nothing to show";
  }
  const heard = Math.round(100 * answer.audio_weight);
  $("facts").textContent = `${count(answer.items_searched, "moment")} in ${count(answer.videos_searched, "file")} · weights: ` +
    `${100 - heard}% sight, ${heard}% sound`;
  if ($("auto").checked) $("share").value = heard;
  for (const hit of answer.hits) hit.engine = answer.engine;
  grid.show(answer.hits, { append, open, select: actions.select, isSelected: tray.isSelected });
  next = answer.next_offset;
  $("more").hidden = next === null;
}

function notice(text, kind = "") {
  $("results").prepend(make("p", { class: `notice ${kind}`, role: kind ? "alert" : "status", text }));
}

function fail(error) {
  for (const old of document.querySelectorAll(".notice.error")) old.remove();
  notice(error.message, "error");
}

function setExample(newFile, newItem = null) {
  file = newFile;
  item = newItem;
  const name = file ? file.name || "pasted picture" : item ? `like ${item.name} ${span(item)}` : "";
  $("example").hidden = !name;
  $("example").replaceChildren(name, make("button", {
    type: "button", text: "×", "aria-label": "Remove this example", on: { click: () => setExample(null) },
  }));
  if (name) $("text").value = "";
}

$("query").addEventListener("submit", (event) => {
  event.preventDefault();
  search();
});
$("text").addEventListener("input", () => { if ($("text").value) setExample(null); });
$("pick").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", () => {
  if (!$("file").files.length) return;
  setExample($("file").files[0]);
  search();
});
for (const event of ["dragover", "drop", "dragleave"]) {
  document.addEventListener(event, (drag) => {
    drag.preventDefault();
    $("query").classList.toggle("over", event === "dragover");
    if (event === "drop" && drag.dataTransfer.files.length) {
      setExample(drag.dataTransfer.files[0]);
      search();
    }
  });
}
document.addEventListener("paste", (event) => {
  const pasted = event.clipboardData?.files?.[0];
  if (!pasted) return;
  event.preventDefault();
  setExample(pasted);
  search();
});
$("auto").addEventListener("change", () => { $("share").disabled = $("auto").checked; search(); });
for (const id of ["share", "mode", "folder", "sound", "min", "max", "exact"]) $(id).addEventListener("change", () => search());
$("more").addEventListener("click", () => search({ append: true }));
$("export").addEventListener("click", () => tray.save(fail));
tray.onChange(() => grid.refreshSelection(tray.isSelected));
$("show-ingest").addEventListener("click", () => {
  $("ingest").hidden = !$("ingest").hidden;
  $("show-ingest").setAttribute("aria-expanded", String(!$("ingest").hidden));
});
$("show-keys").addEventListener("click", () => $("keys").showModal());
$("add").addEventListener("submit", (event) => ingest.start(event, fail));
$("cancel").addEventListener("click", ingest.cancel);

const KEYS = {
  "/": () => $("text").focus(),
  "?": () => $("keys").showModal(),
  m: grid.toggleSound,
  s: () => { const hit = drawer.isOpen() ? shown : grid.focused(); if (hit) tray.toggle(hit); },
  e: () => tray.save(fail),
  u: () => drawer.isOpen() && $("mute").click(),
  b: () => drawer.isOpen() && $("blindfold").click(),
  Escape: () => { if (drawer.isOpen()) { drawer.close(); grid.mark(null); } },
  " ": () => drawer.isOpen() && drawer.playOrPause(),
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const typing = event.target.matches("input, textarea, select");
  if (event.key === "ArrowDown" && event.target.id === "text") event.target.blur(); // on to the cards
  else if (typing && event.key !== "Escape") return;
  if (event.key === " " && event.target.matches("button, summary, video")) return;
  if (event.key.startsWith("Arrow")) {
    if (event.target.closest("#drawer")) return;
    event.preventDefault();
    grid.move(event.key);
    return;
  }
  const act = KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

for (const words of ["a dog barking", "waves on a beach", "people laughing", "an engine starting"]) {
  $("suggestions").append(make("button", { type: "button", text: words, on: { click: () => {
    $("text").value = words;
    search();
  } } }));
}
ingest.refresh().then((status) => {
  if (!status.items) {
    $("ingest").hidden = false;
    $("show-ingest").setAttribute("aria-expanded", "true");
    $("empty").querySelector("h2").textContent = "Nothing is indexed yet";
  }
  return ingest.resume();
}).catch(fail);
