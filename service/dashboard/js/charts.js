// Line charts as SVG, with a reading under the pointer.
import { number } from "./dom.js";

const NS = "http://www.w3.org/2000/svg";
const WIDTH = 460;
const HEIGHT = 240;
const LEFT = 52;
const RIGHT = 12;
const TOP = 12;
const BOTTOM = 30;

function s(tag, attributes, text) {
  const element = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

// series: [{name, color, points: [[x, y], ...]}]; marks: [{x, label, color}]; options: {log, xLabel}
export function lineChart(series, marks = [], { log = false, xLabel = "epoch" } = {}) {
  const svg = s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "chart", role: "img" });
  const finite = series.map((each) => ({ ...each, points: each.points.filter(([, y]) => Number.isFinite(y)) }));
  const all = finite.flatMap((each) => each.points);
  if (!all.length) {
    svg.append(s("text", { x: WIDTH / 2, y: HEIGHT / 2, class: "empty", "text-anchor": "middle" }, "nothing recorded yet"));
    return svg;
  }
  const x = scale(all.map(([value]) => value), LEFT, WIDTH - RIGHT, log);
  const y = scale(all.map(([, value]) => value), HEIGHT - BOTTOM, TOP, false);
  drawAxes(svg, x, y, xLabel);
  for (const mark of marks.filter((each) => Number.isFinite(each.x))) {
    const at = x.at(mark.x);
    svg.append(s("line", { x1: at, x2: at, y1: TOP, y2: HEIGHT - BOTTOM, stroke: mark.color, "stroke-dasharray": "4 3" }));
    const side = at > WIDTH * 0.7 ? { x: at - 4, "text-anchor": "end" } : { x: at + 4 };
    svg.append(s("text", { ...side, y: TOP + 10, class: "mark", fill: mark.color }, mark.label));
  }
  for (const each of finite) {
    const path = each.points.map(([a, b], i) => `${i ? "L" : "M"}${x.at(a).toFixed(1)} ${y.at(b).toFixed(1)}`).join("");
    svg.append(s("path", { d: path, fill: "none", stroke: each.color, "stroke-width": each.width || 2 }));
    if (each.points.length <= 40 && !each.width) {
      for (const [a, b] of each.points) svg.append(s("circle", { cx: x.at(a), cy: y.at(b), r: 2.2, fill: each.color }));
    }
  }
  addReading(svg, finite, x, xLabel);
  return svg;
}

function scale(values, from, to, log) {
  const read = log ? Math.log10 : (v) => v;
  let low = values.reduce((a, b) => Math.min(a, b));
  let high = values.reduce((a, b) => Math.max(a, b));
  if (low === high) [low, high] = log ? [low / 2, high * 2] : [low - 0.5, high + 0.5];
  const [a, b] = [read(low), read(high)];
  const at = (value) => from + ((read(value) - a) / (b - a)) * (to - from);
  return { at, ticks: log ? decades(a, b) : round(low, high) };
}

function decades(a, b) {
  const ticks = [];
  for (let exponent = Math.ceil(a); exponent <= Math.floor(b); exponent += 1) ticks.push(10 ** exponent);
  return ticks;
}

function round(low, high) {
  const rough = (high - low) / 5;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * unit).find((size) => size >= rough);
  const ticks = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high + step * 1e-9; tick += step) ticks.push(tick);
  return ticks;
}

function drawAxes(svg, x, y, xLabel) {
  for (const tick of y.ticks) {
    svg.append(s("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y.at(tick), y2: y.at(tick), class: "grid" }));
    svg.append(s("text", { x: LEFT - 6, y: y.at(tick) + 3.5, class: "tick", "text-anchor": "end" }, short(tick)));
  }
  for (const tick of x.ticks.filter((value) => xLabel !== "epoch" || Number.isInteger(value))) {
    svg.append(s("text", { x: x.at(tick), y: HEIGHT - BOTTOM + 14, class: "tick", "text-anchor": "middle" }, short(tick)));
  }
  svg.append(s("text", { x: WIDTH - RIGHT, y: HEIGHT - 4, class: "tick", "text-anchor": "end" }, xLabel));
}

function short(value) {
  const size = Math.abs(value);
  if (size === 0 || (size >= 1e-2 && size < 1e5)) return String(+value.toPrecision(4));
  return value.toExponential(2).replace(/\.?0+e/, "e");
}

function addReading(svg, series, x, xLabel) {
  const line = s("line", { y1: TOP, y2: HEIGHT - BOTTOM, class: "cursor", visibility: "hidden" });
  const text = s("text", { y: HEIGHT - 4, x: LEFT, class: "reading" });
  svg.append(line, text);
  const longest = series.reduce((a, b) => (b.points.length > a.points.length ? b : a));
  svg.addEventListener("pointermove", (event) => {
    const px = (event.offsetX / svg.clientWidth) * WIDTH;
    const nearest = longest.points.reduce((a, b) => (Math.abs(x.at(b[0]) - px) < Math.abs(x.at(a[0]) - px) ? b : a))[0];
    const values = series.map((each) => [each.name, each.points.find(([value]) => value === nearest)?.[1]]);
    const words = values.filter(([, value]) => value !== undefined).map(([name, value]) => `${name} ${number(value)}`);
    for (const end of ["x1", "x2"]) line.setAttribute(end, x.at(nearest));
    line.setAttribute("visibility", "visible");
    text.textContent = `${xLabel} ${number(nearest)}: ${words.join("  ")}`;
  });
  svg.addEventListener("pointerleave", () => {
    line.setAttribute("visibility", "hidden");
    text.textContent = "";
  });
}
