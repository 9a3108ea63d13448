// Who works, who waits, and whether the service is well.
import { ago, badge, fill, h, link, panel, table } from "./dom.js";
import { get } from "./http.js";

export async function systemView(place, signal) {
  async function refresh() {
    const [workers, queue, ready] = await Promise.all([get("/v1/workers"), get("/v1/queue"), readiness()]);
    if (signal.aborted) return;
    fill(place, h("h1", {}, "System"),
      panel("Service", h("p", {}, badge(ready.status)),
        h("dl", {}, Object.entries(ready.checks).flatMap(([name, words]) => [h("dt", {}, name), h("dd", {}, words)]))),
      panel("Workers", table(["Worker", "State", "Device", "Slots", "Seen"], workers.data.map((w) => h("tr", {},
        h("td", {}, w.name), h("td", {}, badge(w.state)), h("td", {}, w.device), h("td", {}, w.slots),
        h("td", { class: "faint" }, ago(w.seen_at)))), "No worker has reported.")),
      panel("Queue", table(["", "Job", "Kind", "Waits for"], queue.data.map((w) => h("tr", {},
        h("td", {}, w.position), h("td", {}, link(`#/jobs/${w.job}`, w.name || w.job.slice(-12))), h("td", {}, w.kind),
        h("td", {}, w.reason))), "Nobody waits.")));
  }
  await refresh();
  const timer = setInterval(() => document.hidden || refresh().catch(() => {}), 3000);
  signal.addEventListener("abort", () => clearInterval(timer));
}

async function readiness() {
  const answer = await (await fetch("/readyz")).json();
  return answer.checks ? answer : { status: "failed", checks: { problem: answer.detail } };
}
