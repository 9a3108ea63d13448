// The list of jobs, kept current.
import { ago, badge, duration, fill, h, link, problemBox, progress, table } from "./dom.js";
import { get, jobExamples } from "./http.js";

const STATES = ["", "queued", "running", "paused", "succeeded", "failed", "cancelled"];
const EVERY = 2000;

export async function jobsView(place, signal) {
  const filter = { state: "", kind: "", cursor: "" };
  const body = h("div", {});
  const change = (name) => (event) => {
    Object.assign(filter, { [name]: event.target.value, cursor: "" });
    refresh();
  };
  const choose = (name, values) =>
    h("label", {}, `${name} `, h("select", { id: name, onchange: change(name) }, values.map(option)));
  const head = h("div", { class: "row" }, h("h1", {}, "Jobs"), h("span", { class: "grow" }),
    choose("state", STATES), choose("kind", [""]), link("#/new", "New job", { class: "button" }));
  fill(place, head, body);

  async function refresh() {
    const query = new URLSearchParams({ limit: 25 });
    for (const [name, value] of Object.entries(filter)) if (value) query.set(name, value);
    try {
      const page = await get(`/v1/jobs?${query}`);
      if (signal.aborted) return;
      const older = page.next_cursor &&
        h("button", { onclick: () => { filter.cursor = page.next_cursor; refresh(); } }, "Older");
      const newest = filter.cursor && h("button", { onclick: () => { filter.cursor = ""; refresh(); } }, "Newest");
      fill(body, jobTable(page.data), h("div", { class: "row" }, newest, older));
    } catch (error) {
      fill(body, problemBox(error));
    }
  }

  await refresh();
  const kinds = new Set((await jobExamples()).map((example) => example.value.kind));
  head.querySelector("#kind").append(...[...kinds].map(option));
  const timer = setInterval(() => document.hidden || refresh(), EVERY);
  signal.addEventListener("abort", () => clearInterval(timer));
}

const option = (value) => h("option", { value }, value || "any");

export function jobTable(jobs) {
  const heads = ["Job", "Kind", "State", "Progress", "Result", "Submitted", "Took"];
  return table(heads, jobs.map(row), "No jobs yet. Import a dataset, then submit one.");
}

function row(job) {
  const running = job.state === "running" || job.state === "queued" || job.state === "paused";
  return h("tr", { "data-job": job.id },
    h("td", {}, link(`#/jobs/${job.id}`, job.name || `${job.kind} ${job.id.slice(-6)}`)),
    h("td", {}, job.kind),
    h("td", {}, badge(job.state), job.phase && job.state === "running" ? h("span", { class: "faint" }, ` ${job.phase}`) : null),
    h("td", {}, running ? progress(job.progress) : null),
    h("td", {}, summary(job)),
    h("td", { class: "faint" }, ago(job.created_at)),
    h("td", { class: "faint" }, duration(job.started_at, job.finished_at)));
}

export function summary(job) {
  const result = job.result;
  if (job.error) return h("span", { class: "critical-text", title: job.error.detail }, job.error.title);
  if (job.state === "queued" && job.queue) return h("span", { class: "faint" }, job.queue.reason);
  if (!result) return null;
  if (result.test?.accuracy !== undefined) return `test accuracy ${result.test.accuracy.toFixed(3)}`;
  if (result.suggested !== undefined) return `lr ${result.suggested.toExponential(1)} (${result.quality})`;
  if (result.passed !== undefined) return result.passed ? "passed" : "failed the check";
  if (result.recommended !== undefined) return `batch size ${result.recommended}`;
  if (result.best?.value !== undefined) return `best ${result.metric} ${result.best.value.toFixed(4)}`;
  return null;
}
