// A finding as a card, and the button that makes the next job of it.
import { h, number, problemBox } from "./dom.js";
import { post } from "./http.js";

export function findingCard(finding, jobId) {
  const evidence = Object.entries(finding.evidence).map(([name, value]) => [
    h("dt", {}, name.replaceAll("_", " ")), h("dd", {}, Array.isArray(value) ? value.map(number).join(", ") : number(value)),
  ]);
  const card = h("article", { class: `finding ${finding.severity}` },
    h("header", {}, h("strong", {}, `${finding.rule} ${finding.name.replaceAll("_", " ")}`), ` · ${finding.severity}`,
      finding.epoch ? ` · epoch ${finding.epoch}` : "", ` · confidence ${Math.round(100 * finding.confidence)} %`),
    h("p", {}, finding.explanation),
    h("p", {}, h("strong", {}, "What to do: "), finding.remedy.text),
    h("details", {}, h("summary", {}, "Evidence"), h("dl", {}, evidence.flat())),
    finding.outcome ? h("p", { class: "faint" }, "Follow-up: ", h("a", { href: `#/jobs/${finding.outcome.job}` }, "the next job"), ` · ${finding.outcome.text}`) : null);
  if (jobId && Object.keys(finding.remedy.patch).length) card.append(applyRow(finding, jobId, card));
  return card;
}

function applyRow(finding, jobId, card) {
  const patch = Object.entries(finding.remedy.patch).map(([path, value]) => `${path} = ${JSON.stringify(value)}`).join(", ");
  const apply = async () => {
    try {
      const job = await post(`/v1/jobs/${jobId}/findings/${finding.id}/apply`);
      location.hash = `#/jobs/${job.id}`;
    } catch (error) {
      card.append(problemBox(error));
    }
  };
  return h("div", { class: "row" }, h("button", { class: "primary", onclick: apply }, "Submit the next job"), h("code", {}, patch));
}
