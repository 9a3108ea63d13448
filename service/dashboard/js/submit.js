// Submit a job: a spec as JSON or YAML, checked by a dry run before it is sent.
import { bytes, fill, h, number, panel, problemBox } from "./dom.js";
import { get, jobExamples, post } from "./http.js";

export async function newJobView(place, signal, query) {
  const given = new URLSearchParams(query || "");
  const datasets = (await get("/v1/datasets?limit=100")).data;
  const examples = await jobExamples();
  const text = h("textarea", { id: "spec", rows: 18, spellcheck: "false" });
  const result = h("div", { id: "verdict" });
  const example = h("select", { id: "example", onchange: suggest }, examples.map((e, n) => h("option", { value: n }, `${e.value.kind}: ${e.summary}`)));
  const dataset = h("select", { id: "dataset", onchange: suggest }, datasets.map((d) => h("option", { value: d.name }, d.name)));

  async function suggest() {
    const spec = structuredClone(examples[example.value].value);
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
    h("div", {}, h("div", { class: "row" }, h("label", {}, "example ", example), h("label", {}, "dataset ", dataset)), text, buttons),
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
