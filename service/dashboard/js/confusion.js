// The confusion matrix as a heat map, and the classification report.
import { h, table } from "./dom.js";

export function confusionTable(report) {
  const pairs = report.most_confused.slice(0, report.matrix ? 5 : 20).map((pair) =>
    h("li", {}, `${pair.true} taken for ${pair.predicted}: ${pair.count} (${Math.round(100 * pair.share)} %)`));
  const confused = pairs.length ? h("div", {}, h("h3", {}, "Most confused"), h("ul", {}, pairs)) : null;
  if (!report.matrix) {
    return h("div", {}, h("p", { class: "faint" }, `${report.labels.length} classes: the picture shows those with the most errors`), confused);
  }
  const heads = ["", ...report.labels.map((name) => h("span", { class: "tilted" }, name))];
  const rows = report.matrix.map((counts, i) => h("tr", {}, h("th", {}, report.labels[i]), counts.map((count, j) => {
    const share = report.normalized[i][j];
    const words = `${count} of ${report.labels[i]} taken for ${report.labels[j]} (${Math.round(100 * share)} %)`;
    const kind = i === j ? "hit" : share > 0.25 ? "miss many" : "miss";
    return h("td", { title: words, style: `--share:${share.toFixed(3)}`, class: kind }, count || "");
  })));
  const matrix = table(heads, rows, "no classes");
  matrix.classList.add("confusion");
  return h("div", {}, h("p", { class: "faint" }, "rows: true class · columns: predicted"), matrix, confused);
}

export function reportTable(report) {
  const row = (name, each) => h("tr", {}, h("td", {}, name),
    [each.precision, each.recall, each.f1].map((value) => h("td", {}, value.toFixed(3))), h("td", {}, each.support));
  const rows = [...report.classes.map((each) => row(each.name, each)), row("macro", report.macro), row("weighted", report.weighted)];
  return h("div", {}, h("p", { class: "verdict" }, `accuracy ${report.accuracy.toFixed(4)} · loss ${report.loss.toFixed(4)}`),
    table(["class", "precision", "recall", "F1", "support"], rows, "no classes"));
}
