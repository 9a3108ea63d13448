// The trials of a search: how they went, the best so far, what mattered.
import { lineChart } from "./charts.js";
import { badge, fill, h, number, panel, progress, table } from "./dom.js";
import { maybe } from "./http.js";

const HEADS = ["#", "State", "Value", "Parameters", "Time", "Runner", "Why"];

export async function trialsView(place, path) {
  const search = await maybe(`${path}/trials`);
  if (!search) return;
  const best = search.best;
  fill(place,
    h("div", { class: "columns" },
      panel(`${search.metric} of each trial`, lineChart(series(search), best ? [{ x: best.number, label: `best ${number(best.value)}`, color: "var(--accent)" }] : [], { xLabel: "trial" })),
      panel("What mattered", weights(search.importances))),
    search.notes.length ? panel("Notes", h("ul", {}, search.notes.map((note) => h("li", {}, note)))) : null,
    panel("Trials", table(HEADS, search.data.map((trial) => row(trial, best)), "no trials yet")));
}

function series(search) {
  const better = search.metric.endsWith("loss") ? Math.min : Math.max;
  const ended = search.data.filter((trial) => trial.value !== null);
  let lead = NaN;
  const leads = ended.map((trial) => {
    if (trial.state === "complete") lead = Number.isNaN(lead) ? trial.value : better(lead, trial.value);
    return [trial.number, lead];
  });
  return [
    { name: "value", color: "var(--train)", points: ended.map((trial) => [trial.number, trial.value]) },
    { name: "best so far", color: "var(--accent)", points: leads, width: 1.5 }];
}

function weights(importances) {
  const rows = Object.entries(importances).map(([name, share]) => [h("dt", {}, name), h("dd", {}, progress(share), ` ${Math.round(100 * share)} %`)]);
  return rows.length ? h("dl", {}, rows.flat()) : h("p", { class: "faint" }, "It takes five complete trials to tell.");
}

function row(trial, best) {
  const values = Object.entries(trial.params).map(([name, value]) => `${name} ${Array.isArray(value) ? value.join("-") : number(value)}`);
  return h("tr", {}, h("td", {}, trial.number), h("td", {}, badge(trial.state), best?.number === trial.number ? " best" : null),
    h("td", {}, number(trial.value)), h("td", {}, values.join(", ")), h("td", {}, trial.duration_seconds === null ? "" : `${trial.duration_seconds.toFixed(1)}\u00a0s`),
    h("td", { class: "faint" }, trial.runner?.replace("-", "\u2011")), h("td", { class: "faint" }, trial.reason));
}
