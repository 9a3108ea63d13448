// Datasets: list, import, upload, and what the import saw.
import { ago, badge, fill, h, link, number, panel, problemBox, progress, table } from "./dom.js";
import { get, imageUrl, maybe, post, remove } from "./http.js";
import { findingCard } from "./findings.js";

export async function datasetsView(place, signal) {
  const body = h("div", {});
  const message = h("div", {});
  fill(place, h("h1", {}, "Datasets"), importForms(message, refresh), message, body);

  async function refresh() {
    const page = await get("/v1/datasets?limit=100");
    if (signal.aborted) return;
    fill(body, table(["Name", "State", "Samples", "Classes", "Imported"], page.data.map(row), "No datasets yet."));
  }
  await refresh();
  const timer = setInterval(() => document.hidden || refresh().catch(() => {}), 2000);
  signal.addEventListener("abort", () => clearInterval(timer));
}

function row(dataset) {
  const samples = Object.values(dataset.counts).reduce((a, b) => a + b, 0);
  return h("tr", {}, h("td", {}, link(`#/datasets/${dataset.id}`, dataset.name)),
    h("td", {}, badge(dataset.state), dataset.error ? h("div", { class: "critical-text" }, dataset.error.detail) : null),
    h("td", {}, dataset.state === "importing" ? progress(dataset.progress) : number(samples)),
    h("td", {}, dataset.classes.length || "–"), h("td", { class: "faint" }, ago(dataset.created_at)));
}

function importForms(message, refresh) {
  const act = (work) => async (event) => {
    event.preventDefault();
    try {
      await work(new FormData(event.target), event.target);
      fill(message);
      await refresh();
    } catch (error) {
      fill(message, problemBox(error));
    }
  };
  const builtin = act((form) => {
    const [kind, name] = form.get("known").split(":");
    return post("/v1/datasets", JSON.stringify({ name: name.trim(), source: { kind, name } }));
  });
  const upload = act(async (form, element) => {
    await post("/v1/datasets", form, null);
    element.reset();
  });
  return h("div", { class: "columns" },
    panel("Import a known dataset", h("form", { onsubmit: builtin, class: "row" },
      h("select", { name: "known" }, h("option", { value: "builtin:digits" }, "digits (ships with the service)"),
        ["FashionMNIST", "MNIST", "CIFAR10"].map((n) => h("option", { value: `torchvision:${n}` }, `${n} (files under a data root)`))),
      h("button", { class: "primary" }, "Import"))),
    panel("Upload", h("form", { onsubmit: upload, class: "row" },
      h("input", { name: "name", placeholder: "name", required: true, pattern: "[A-Za-z0-9][A-Za-z0-9._-]*" }),
      h("input", { name: "file", type: "file", required: true, accept: ".zip,.tar,.gz,.tgz,.npz,.csv" }),
      h("button", { class: "primary" }, "Upload")), h("p", { class: "faint" }, "zip or tar of class folders, npz with X and y, or CSV")));
}

export async function datasetView(place, signal, id) {
  const dataset = await get(`/v1/datasets/${id}`);
  const profile = await maybe(`/v1/datasets/${id}/profile`);
  if (signal.aborted) return;
  const drop = async () => {
    if (!window.confirm(`Delete ${dataset.name} and its files?`)) return;
    try {
      await remove(`/v1/datasets/${id}`);
      location.hash = "#/datasets";
    } catch (error) {
      place.prepend(problemBox(error));
    }
  };
  fill(place,
    h("div", { class: "row" }, h("h1", {}, dataset.name), badge(dataset.state), h("span", { class: "grow" }),
      link(`#/jobs/${dataset.job}`, "import job"), h("button", { class: "danger", onclick: drop }, "Delete")),
    dataset.error ? h("div", { class: "notice critical" }, dataset.error.detail) : null,
    profile ? profilePanels(profile) : h("p", { class: "faint" }, "The profile comes with the end of the import."),
    profile?.meta.modality === "image" ? await samplesPanel(id, dataset) : null);
}

function profilePanels(profile) {
  const splits = Object.keys(profile.class_counts);
  const rows = profile.meta.classes.map((name) =>
    h("tr", {}, h("td", {}, name), splits.map((split) => h("td", {}, number(profile.class_counts[split][name] ?? 0)))));
  const facts = {
    "shape of a sample": profile.meta.shape.join(" × "), type: profile.dtype,
    "value range": profile.value_range.map(number).join(" … "),
    "mean, deviation": profile.meta.mean.length <= 4 ? `${profile.meta.mean.map(number).join(", ")} · ${profile.meta.std.map(number).join(", ")}` : "per feature",
    "unreadable files": profile.corrupt.length, ignored: profile.ignored.length,
    ...Object.fromEntries(Object.entries(profile.duplicates).map(([kind, count]) => [`duplicates (${kind})`, count])),
  };
  return h("div", {},
    profile.findings.length ? panel("Findings", profile.findings.map((finding) => findingCard(finding))) : null,
    h("div", { class: "columns" },
      panel("What the import saw", h("dl", {}, Object.entries(facts).flatMap(([k, v]) => [h("dt", {}, k), h("dd", {}, String(v))]))),
      panel("Samples per class", table(["class", ...splits], rows, "no classes"))));
}

async function samplesPanel(id, dataset) {
  const total = Object.values(dataset.counts).reduce((a, b) => a + b, 0);
  const numbers = Array.from({ length: Math.min(12, total) }, (_, i) => Math.floor((i * total) / 12));
  const urls = await Promise.all(numbers.map((n) => imageUrl(`/v1/datasets/${id}/samples/${n}`).catch(() => null)));
  return panel("Samples", h("div", { class: "samples" },
    urls.map((src, i) => (src ? h("img", { src, alt: `sample ${numbers[i]}`, title: `sample ${numbers[i]}` }) : null))));
}
