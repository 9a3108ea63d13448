// Which view shows: the part of the address after `#`.
import { fill, h, problemBox } from "./dom.js";
import { datasetView, datasetsView } from "./datasets.js";
import { jobView } from "./job.js";
import { jobsView } from "./jobs.js";
import { newJobView } from "./submit.js";
import { systemView } from "./system.js";

const ROUTES = [
  [/^#\/jobs\/([^/]+)$/, "jobs", jobView],
  [/^#\/datasets\/([^/]+)$/, "datasets", datasetView],
  [/^#\/datasets$/, "datasets", datasetsView],
  [/^#\/new(?:\?(.*))?$/, "new", newJobView],
  [/^#\/system$/, "system", systemView],
  [/^(?:#\/?)?$/, "jobs", jobsView],
];

let leaving = new AbortController();

async function show() {
  leaving.abort();
  leaving = new AbortController();
  const signal = leaving.signal;
  const place = document.getElementById("view");
  const [match, name, view] = find(location.hash);
  for (const tab of document.querySelectorAll("nav a")) tab.classList.toggle("here", tab.dataset.view === name);
  fill(place, h("p", { class: "faint" }, "…"));
  try {
    await view(place, signal, ...match.slice(1));
  } catch (error) {
    if (!signal.aborted) fill(place, problemBox(error));
  }
}

function find(hash) {
  for (const [pattern, name, view] of ROUTES) {
    const match = hash.match(pattern);
    if (match) return [match, name, view];
  }
  return [[""], "jobs", jobsView];
}

window.addEventListener("hashchange", show);
show();
