// One job: state, live curves, findings, confusion, files and log lines, driven by its event stream.
import { ago, badge, bytes, duration, fill, h, link, number, panel, problemBox, progress, table } from "./dom.js";
import { lineChart } from "./charts.js";
import { confusionTable, reportTable } from "./confusion.js";
import { findingCard } from "./findings.js";
import { download, events, get, maybe, post } from "./http.js";
import { summary } from "./jobs.js";
import { trialsView } from "./trials.js";

const TRAIN = "var(--train)";
const VAL = "var(--val)";
const ACCENT = "var(--accent)";
const ENDED = ["succeeded", "failed", "cancelled"];

export async function jobView(place, signal, id) {
  const parts = {};
  for (const name of ["head", "charts", "findings", "results", "files", "logs", "spec"]) parts[name] = h("div", { id: name });
  const path = `/v1/jobs/${id}`;
  const logs = h("pre", { class: "logs" });
  let job = await get(path);
  fill(place, Object.values(parts));
  fill(parts.logs, panel("Log", logs));
  fill(parts.spec, panel("Resolved spec", h("details", {}, h("summary", {}, "show"), h("pre", {}, JSON.stringify(job.spec, null, 2)))));

  const refresh = throttle(async () => {
    if (signal.aborted) return;
    job = await get(path);
    fill(parts.head, head(job, path));
    await Promise.all([charts(parts.charts, path, job), findings(parts.findings, path, job)]);
    if (ENDED.includes(job.state)) await Promise.all([results(parts.results, path), files(parts.files, path)]);
  }, 700);
  await refresh.now();
  events(`${path}/events`, (type, event) => {
    if (type === "log") {
      logs.append(`${event.time.slice(11, 19)} ${event.data.level ?? ""} ${event.data.message ?? ""}\n`);
      logs.scrollTop = logs.scrollHeight;
    }
    refresh();
  }, signal);
  const timer = setInterval(() => ENDED.includes(job.state) || document.hidden || refresh(), 2000);
  signal.addEventListener("abort", () => clearInterval(timer));
}

// Runs `work` at most once in `wait` ms, and once more for calls that came meanwhile.
function throttle(work, wait) {
  let timer = null;
  const run = () => work().catch((error) => console.warn(error));
  const soon = () => {
    timer ??= setTimeout(() => {
      timer = null;
      run();
    }, wait);
  };
  soon.now = work;
  return soon;
}

function head(job, path) {
  const act = (verb) => async (event) => {
    try {
      await post(`${path}/${verb}`);
    } catch (error) {
      event.target.closest(".row").after(problemBox(error));
    }
  };
  const button = (verb, states, kind = "") =>
    states.includes(job.state) ? h("button", { class: kind, onclick: act(verb) }, verb) : null;
  return [
    h("div", { class: "row" }, h("h1", {}, job.name || `${job.kind} ${job.id.slice(-12)}`), badge(job.state), h("span", { class: "grow" }),
      button("pause", ["running"]), button("resume", ["paused"]), button("retry", ["failed", "cancelled"]),
      button("cancel", ["queued", "running", "paused"], "danger"), link(`#/new?from=${job.id}`, "Edit as new", { class: "button" })),
    h("p", { class: "faint" }, `${job.kind} · attempt ${job.attempt} · submitted ${ago(job.created_at)} · ${job.finished_at ? "took" : "running for"} ${duration(job.started_at, job.finished_at)}`,
      job.parent ? [" · after ", link(`#/jobs/${job.parent}`, "an earlier job")] : null,
      job.dataset ? [" · data ", link(`#/datasets/${job.dataset}`, job.spec.dataset ?? job.spec.train?.dataset ?? "dataset")] : null),
    job.files_deleted ? h("p", { class: "notice" }, `Its files (${bytes(job.files_deleted.bytes)}) were deleted ${ago(job.files_deleted.time)} `
      + `by ${job.files_deleted.actor}: ${job.files_deleted.reason}`) : null,
    job.queue ? h("p", { class: "notice" }, `Number ${job.queue.position} in the queue: ${job.queue.reason}`) : null,
    job.error ? problemBox({ message: job.error.detail, problem: job.error }) : null,
    ENDED.includes(job.state) ? h("p", { class: "verdict" }, summary(job)) : h("div", { class: "row" }, progress(job.progress), h("span", { class: "faint" }, job.phase)),
  ];
}

async function charts(place, path, job) {
  if (job.kind === "lr-find") return lrChart(place, path);
  if (job.kind === "tune") return trialsView(place, path);
  if (job.kind !== "train") return simpleResult(place, job);
  const curves = await maybe(`${path}/curves`);
  if (!curves?.epochs.length) return stepChart(place, path);
  const of = (side, name) => curves.epochs.map((e) => [e.epoch, e[side][name] ?? NaN]);
  const marks = curves.best_epoch ? [{ x: curves.best_epoch, label: `best ${curves.best_epoch}`, color: ACCENT }] : [];
  const both = (name) => [{ name: "train", color: TRAIN, points: of("train", name) }, { name: "val", color: VAL, points: of("val", name) }];
  fill(place, h("div", { class: "columns three" },
    panel("Loss", legend(), lineChart(both("loss"), marks)), panel("Accuracy", legend(), lineChart(both("accuracy"), marks)),
    panel("Learning rate", lineChart([{ name: "lr", color: ACCENT, points: curves.epochs.map((e) => [e.epoch, e.lr ?? NaN]) }]))));
}

const legend = () => h("p", { class: "legend" }, h("span", { class: "train" }, "train"), h("span", { class: "val" }, "val"));

async function stepChart(place, path) {
  const metrics = await maybe(`${path}/metrics?names=train/loss&max_points=400`);
  const points = metrics?.series[0]?.points.map((p) => [p.step, p.value ?? NaN]) ?? [];
  fill(place, panel("Loss of each step", lineChart([{ name: "loss", color: TRAIN, points, width: 1.5 }], [], { xLabel: "step" })));
}

async function lrChart(place, path) {
  const curve = await maybe(`${path}/lr-curve`);
  if (!curve) return;
  const series = [
    { name: "loss", color: "var(--faint)", points: curve.points.filter((p) => p.loss !== null).map((p) => [p.lr, p.loss]), width: 1.2 },
    { name: "smoothed", color: TRAIN, points: curve.points.map((p) => [p.lr, p.smoothed ?? NaN]), width: 2 }];
  const ceiling = Math.max(...series[1].points.map(([, y]) => y).filter(Number.isFinite)) * 1.2;
  series[0].points = series[0].points.filter(([, y]) => y < ceiling);
  const marks = [{ x: curve.suggested, label: `suggested ${curve.suggested.toExponential(1)}`, color: ACCENT }];
  fill(place, panel("Learning-rate range test", lineChart(series, marks, { log: true, xLabel: "learning rate" }),
    h("p", {}, `Quality ${curve.quality}. ${curve.reason}`)));
}

function simpleResult(place, job) {
  if (!job.result) return;
  const facts = Object.entries(job.result).filter(([, value]) => !Array.isArray(value) && typeof value !== "object");
  const lists = (job.result.causes || []).map((cause) => h("li", {}, cause));
  fill(place, panel("Result", h("dl", {}, facts.flatMap(([k, v]) => [h("dt", {}, k.replaceAll("_", " ")), h("dd", {}, number(v))])),
    lists.length ? h("ol", {}, lists) : null));
}

async function findings(place, path, job) {
  if (job.kind !== "train") return; // the rules judge trainings
  const report = await maybe(`${path}/findings`);
  if (!report) return;
  const cards = report.data.filter((f) => f.active).map((finding) => findingCard(finding, job.id));
  const words = { healthy: "No rule found anything wrong.", "not enough evidence": "Nothing wrong so far." };
  const title = `${ENDED.includes(job.state) ? "Diagnosis" : "Diagnosis so far"}: ${report.verdict}`;
  const calm = cards.length ? null : h("p", {}, words[report.verdict] ?? "");
  fill(place, panel(title, calm, cards, report.missing.length ? h("p", { class: "faint" }, `Missing: ${report.missing.join(", ")}`) : null));
}

async function results(place, path) {
  const parts = [];
  for (const split of ["test", "val"]) {
    const [confusion, report] = await Promise.all([maybe(`${path}/confusion?split=${split}`), maybe(`${path}/report?split=${split}`)]);
    if (!confusion || !report) continue;
    const tables = h("div", { class: "columns" }, confusionTable(confusion), reportTable(report));
    parts.push(panel(`Results on ${split}`, split === "test" ? tables : h("details", {}, h("summary", {}, "show"), tables)));
  }
  fill(place, parts);
}

async function files(place, path) {
  const page = await maybe(`${path}/checkpoints`);
  if (!page?.data.length) return;
  const rows = page.data.map((f) => h("tr", {}, h("td", {}, h("button", { onclick: () => download(`${path}/checkpoints/${f.name}`, f.name) }, f.name)),
    h("td", {}, f.role), h("td", {}, f.epoch || "–"), h("td", {}, bytes(f.size)), h("td", {}, h("code", {}, f.sha256.slice(0, 12)))));
  fill(place, panel("Files", table(["Name", "Role", "Epoch", "Size", "SHA-256"], rows, "")));
}
