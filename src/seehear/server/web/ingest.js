// The library panel: counts, and indexing with live progress.

import { call, follow } from "./api.js";
import { count, make } from "./view.js";

const $ = (id) => document.getElementById(id);
let job = null;

export async function refresh() {
  const status = await call("/status");
  $("engine").textContent = `Engine: ${status.engine}${status.engine === "tags" ? " (tag names, no model hub; weaker than CLIP + AST)" : ""}.`;
  $("status").textContent = `${count(status.videos, "file")}, ${count(status.items, "moment")}, ${status.hours.toFixed(1)} h, ` +
    `${status.without_sound} without sound, ${(status.size_bytes / 1e6).toFixed(0)} MB in ${status.root}`;
  $("problems").replaceChildren(...status.failed.map((one) => make("li", { text: `${one.path}: ${one.reason}` })));
  for (const option of document.querySelectorAll(".match")) option.hidden = !status.has_av_correspondence;
  const folder = $("folder").value;
  $("folder").replaceChildren(make("option", { value: "", text: "all" }),
    ...status.folders.map((path) => make("option", { value: path, text: path, selected: path === folder })));
  return status;
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
    await follow(`/jobs/${job.id}/events`, showProgress).catch(lost);
    if (job.state === "running") await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  $("bar").hidden = $("cancel").hidden = true;
  await refresh();
}

function showProgress(news) {
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
  $("progress").textContent = job.state === "failed" ? error.message : "No response from the service; retrying …";
}

export async function cancel() {
  if (job) await call(`/jobs/${job.id}`, { method: "DELETE" });
}
