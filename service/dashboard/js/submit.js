// Submit a job: a spec as JSON or YAML, checked by a dry run before it is sent.
import { bytes, fill, h, number, panel, problemBox } from "./dom.js";
import { get, post } from "./http.js";

const EXAMPLES = {
  train: { kind: "train", name: "baseline", dataset: "digits", model: { family: "mlp", hidden: [256, 128] }, epochs: 20 },
  "lr-find": { kind: "lr-find", dataset: "digits", model: { family: "mlp", hidden: [256, 128] } },
  sanity: { kind: "sanity", dataset: "digits", model: { family: "mlp", hidden: [256, 128] } },
  "batch-size": { kind: "batch-size", dataset: "digits", model: { family: "cnn" } },
  tune: {
    kind: "tune",
    train: { dataset: "digits", epochs: 5 },
    search_space: {
      "optimizer.lr": { type: "float", low: 1e-5, high: 1e-2, log: true },
      batch_size: { type: "categorical", choices: [32, 64, 128] },
    },
    n_trials: 20,
  },
};

export async function newJobView(place, signal, query) {
  const given = new URLSearchParams(query || "");
  const datasets = (await get("/v1/datasets?limit=100")).data;
  const text = h("textarea", { id: "spec", rows: 18, spellcheck: "false" });
  const result = h("div", { id: "verdict" });
  const kind = h("select", { id: "kind", onchange: suggest }, Object.keys(EXAMPLES).map((k) => h("option", { value: k }, k)));
  const dataset = h("select", { id: "dataset", onchange: suggest }, datasets.map((d) => h("option", { value: d.name }, d.name)));

  async function suggest() {
    const spec = structuredClone(EXAMPLES[kind.value]);
    if (dataset.value) (spec.train || spec).dataset = dataset.value;
    text.value = JSON.stringify(spec, null, 2);
  }

  const type = () => (text.value.trim().startsWith("{") ? "application/json" : "application/yaml");
  async function send(dry) {
    try {
      const answer = await post(`/v1/jobs${dry ? "?dry_run=true" : ""}`, text.value, type());
      if (dry) fill(result, verdict(answer));
      else location.hash = `#/jobs/${answer.id}`;
    } catch (error) {
      fill(result, problemBox(error));
    }
  }

  await suggest();
  if (given.get("from")) text.value = JSON.stringify((await get(`/v1/jobs/${given.get("from")}`)).spec, null, 2);
  const buttons = h("div", { class: "row" },
    h("button", { id: "submit", class: "primary", onclick: () => send(false) }, "Submit"),
    h("button", { id: "check", onclick: () => send(true) }, "Check (dry run)"));
  if (signal.aborted) return;
  fill(place, h("h1", {}, "New job"), h("div", { class: "columns" },
    h("div", {}, h("div", { class: "row" }, h("label", {}, "kind ", kind), h("label", {}, "dataset ", dataset)), text, buttons),
    result));
}

function verdict(answer) {
  const costs = answer.estimates;
  const rows = costs ? [
    ["parameters", number(costs.parameters.total)],
    ["of them trained", number(costs.parameters.trainable)],
    ["steps at most", number(costs.steps)],
    ["memory, about", bytes(costs.memory_bytes)],
    ["disk, about", bytes(costs.disk_bytes)],
    ["time on two CPU cores, about", `${number(costs.cpu_seconds)} s`],
  ] : [];
  return h("div", {},
    panel("It can run", answer.warnings.length ? null : h("p", {}, "Nothing unusual in the spec."),
      answer.warnings.map((w) => h("div", { class: "notice warning" }, h("code", {}, w.pointer), " ", w.detail)),
      h("dl", {}, rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]))),
    panel("Resolved spec", h("pre", {}, JSON.stringify(answer.spec, null, 2))));
}
