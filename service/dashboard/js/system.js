// Who works, who waits, whether the service is well, and what takes up its disks.
import { ago, badge, bytes, fill, h, link, panel, progress, table } from "./dom.js";
import { get } from "./http.js";

const STORAGE_SECONDS = 60;
const KINDS = { last: "resume checkpoints", best: "best checkpoints", model: "models", dataset: "datasets", other: "other files",
  records: "records (series, events, reports)", free: "free space in the database" };

export async function systemView(place, signal) {
  const top = h("div"), disks = h("div");
  fill(place, top, disks);
  const draw = async () => {
    const storage = await get("/v1/storage");
    if (!signal.aborted) fill(disks, storagePanel(storage));
  };
  async function refresh() {
    const [workers, queue, ready] = await Promise.all([get("/v1/workers"), get("/v1/queue"), readiness()]);
    if (signal.aborted) return;
    fill(top, h("h1", {}, "System"),
      panel("Service", h("p", {}, badge(ready.status)),
        h("dl", {}, Object.entries(ready.checks).flatMap(([name, words]) => [h("dt", {}, name), h("dd", {}, words)]))),
      panel("Workers", table(["Worker", "State", "Device", "Slots", "Seen"], workers.data.map((w) => h("tr", {},
        h("td", {}, w.name), h("td", {}, badge(w.state)), h("td", {}, w.device), h("td", {}, w.slots),
        h("td", { class: "faint" }, ago(w.seen_at)))), "No worker has reported.")),
      panel("Queue", table(["", "Job", "Kind", "Waits for"], queue.data.map((w) => h("tr", {},
        h("td", {}, w.position), h("td", {}, link(`#/jobs/${w.job}`, w.name || w.job.slice(-12))), h("td", {}, w.kind),
        h("td", {}, w.reason))), "Nobody waits.")));
  }
  await Promise.all([refresh(), draw()]);
  const timers = [[refresh, 3], [draw, STORAGE_SECONDS]].map(([action, seconds]) =>
    setInterval(() => document.hidden || action().catch(() => {}), 1000 * seconds));
  signal.addEventListener("abort", () => timers.forEach(clearInterval));
}

function storagePanel(storage) {
  const kinds = Object.entries(storage.bytes_by_kind).sort(([, a], [, b]) => b - a);
  const total = kinds.reduce((sum, [, size]) => sum + size, 0);
  return panel("Storage", table(["Kind", "", "Size"], kinds.map(([kind, size]) => h("tr", {},
    h("td", {}, KINDS[kind] ?? kind), h("td", {}, progress(size / total)), h("td", {}, bytes(size)))), "Nothing is stored."),
  h("p", { class: "faint" }, `${bytes(total)} in all; ${bytes(storage.disk_free)} are free on the disk.`));
}

async function readiness() {
  const answer = await (await fetch("/readyz")).json();
  return answer.checks ? answer : { status: "failed", checks: { problem: answer.detail } };
}
