// The library panel: what it holds, and indexing with live progress.

import { call, follow } from "./api.js";
import { count, make } from "./view.js";

const $ = (id) => document.getElementById(id);
let job = null;

export async function refresh() {
  const held = await call("/status");
  $("engine").textContent = `Engine: ${held.engine}${held.engine === "tags" ? " (tag names; a lesser engine than CLIP + AST)" : ""}.`;
  $("held").textContent = `${count(held.videos, "file")}, ${count(held.items, "moment")}, ${held.hours.toFixed(1)} h, ` +
    `${held.without_sound} without sound, ${(held.size_bytes / 1e6).toFixed(0)} MB in ${held.root}`;
  $("problems").replaceChildren(...held.failed.map((one) => make("li", { text: `${one.path}: ${one.reason}` })));
  for (const option of document.querySelectorAll(".fit")) option.hidden = !held.has_av_correspondence;
  const folder = $("folder").value;
  $("folder").replaceChildren(make("option", { value: "", text: "all" }),
    ...held.folders.map((path) => make("option", { value: path, text: path, selected: path === folder })));
  return held;
}

export async function start(event, fail) {
  event.preventDefault();
  const paths = $("paths").value.split("\n").map((line) => line.trim()).filter(Boolean);
  if (!paths.length) return;
  try {
    await watch(await call("/jobs", { method: "POST", json: { paths } }));
  } catch (error) {
    fail(error);
  }
}

export async function resume() {
  const running = (await call("/jobs")).find((one) => one.state === "running");
  if (running) watch(running);
}

async function watch(started) {
  job = started;
  $("bar").hidden = $("cancel").hidden = false;
  while (job.state === "running") {
    await follow(`/jobs/${job.id}/events`, told).catch(lost);
    if (job.state === "running") await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  $("bar").hidden = $("cancel").hidden = true;
  await refresh();
}

function told(news) {
  job = news;
  $("bar").value = news.total ? news.done / news.total : 0;
  $("progress").textContent = {
    running: news.total ? `${Math.round(news.done)} of ${Math.round(news.total)} s of media` : "Looking for files …",
    done: `Done: ${count(news.indexed, "file")} as ${count(news.items, "moment")}.`,
    cancelled: "Stopped; what was indexed stays.",
    failed: news.error,
  }[news.state];
}

// A broken connection (a TypeError of fetch) is tried again; what the service says is final.
function lost(error) {
  if (!(error instanceof TypeError)) job.state = "failed";
  $("progress").textContent = job.state === "failed" ? error.message : "The service does not answer; trying again …";
}

export async function cancel() {
  if (job) await call(`/jobs/${job.id}`, { method: "DELETE" });
}
