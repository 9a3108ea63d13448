// Elements and words: everything from the server becomes text, never markup.

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...present(children));
  return element;
}

function present(children) {
  return children.flat(3).filter((child) => child !== null && child !== undefined && child !== false);
}

// What `place` shows from now on.
export function fill(place, ...children) {
  place.replaceChildren(...present(children));
}

export function link(href, text, attributes = {}) {
  return h("a", { href, ...attributes }, text);
}

export function badge(state) {
  return h("span", { class: `badge ${state}` }, state);
}

export function progress(fraction) {
  const percent = Math.round(100 * (fraction || 0));
  return h("div", { class: "progress", role: "progressbar", "aria-valuenow": percent, title: `${percent} %` },
    h("div", { style: `width:${percent}%` }));
}

export function ago(time) {
  if (!time) return "–";
  const seconds = Math.max(0, (Date.now() - new Date(time)) / 1000);
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return new Date(time).toLocaleDateString();
}

export function duration(from, to) {
  if (!from) return "–";
  const seconds = Math.max(0, (new Date(to || Date.now()) - new Date(from)) / 1000);
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  return seconds < 3600 ? `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s` : `${(seconds / 3600).toFixed(1)} h`;
}

export function number(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return value.toLocaleString("en");
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-3 || size >= 1e5) ? value.toExponential(2) : value.toPrecision(4).replace(/\.?0+$/, "");
}

export function bytes(value) {
  const units = ["B", "kB", "MB", "GB"];
  let unit = 0;
  while (value >= 1000 && unit < 3) {
    value /= 1000;
    unit += 1;
  }
  return `${value.toFixed(unit && value < 10 ? 1 : 0)} ${units[unit]}`;
}

export function problemBox(error) {
  const faults = error.problem?.errors || [];
  return h("div", { class: "notice critical" }, h("strong", {}, error.message),
    faults.length ? h("ul", {}, faults.map((f) => h("li", {}, h("code", {}, f.pointer || "/"), " ", f.detail))) : null);
}

export function table(heads, rows, empty) {
  if (!rows.length) return h("p", { class: "faint" }, empty);
  return h("table", {}, h("thead", {}, h("tr", {}, heads.map((head) => h("th", {}, head)))), h("tbody", {}, rows));
}

export function panel(title, ...children) {
  return h("section", { class: "panel" }, h("h2", {}, title), ...children);
}
