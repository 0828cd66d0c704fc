// What the bundle says of itself: what it learnt from, how it was tested, and where its limits lie.

import { fill, find, make } from "./dom.js";
import { decimals, percent, pointNames, testedPoint } from "./meaning.js";

const count = (number, one, many = `${one}s`) =>
  `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

/** Write the panel about a bundle. */
export function showAbout(node, model) {
  fill(node, metadata(model), pointTable(model), limits(model));
}

function metadata(model) {
  const { task, trained_on: trained, bundle } = model;
  const rows = [
    ["Tells apart", task.kind === "binary" ? task.classes.join(" and ") : task.labels.join(", ")],
    ["Learnt from", trained ? learntFrom(trained) : "the bundle does not say"],
    ["Tested on", testedOn(model)],
    ["AUROC", auroc(model)],
    ["Bundle", make("code", { title: bundle.id }, `${bundle.name} ${bundle.id.slice(0, 12)}`)],
  ];
  return make("dl", { class: "metadata" }, rows.filter(([, value]) => value !== null).flatMap(
    ([name, value]) => [make("dt", {}, name), make("dd", {}, value)],
  ));
}

function learntFrom({ dataset, images }) {
  const number = images === null || images === undefined ? null : count(images, "image");
  return [number, dataset].filter(Boolean).join(" of ") || "the bundle does not say";
}

function testedOn({ tested_on: tested }) {
  if (!tested) return "nothing that this service knows of";
  const patients = tested.patients ? ` of ${count(tested.patients, "patient")}` : "";
  return `${count(tested.images, "image")}${patients}, ${tested.dataset}`;
}

/** Write the 95 % interval of a metric, or nothing where there is none. */
function range({ low, high }, write) {
  if (typeof low !== "number" || typeof high !== "number") return "";
  return `${write(low).replace("\u00a0%", "")} to ${write(high)}`;
}

/** Write a metric with its 95 % interval. */
export function withInterval(metric, write) {
  if (typeof metric?.value !== "number") return null;
  const limits = range(metric, write);
  return limits ? `${write(metric.value)} (${limits})` : write(metric.value);
}

const auroc = ({ tested_on: tested }) => withInterval(tested?.auroc, decimals);

const rate = (metric) =>
  make("td", {}, percent(metric.value), make("small", {}, range(metric, percent)));

function pointTable(model) {
  const { labels, kind } = model.task;
  const single = kind === "binary";
  if (kind === "multiclass") return null;
  const rows = labels.flatMap((label) => pointNames(model).map((name) => ({ label, name })));
  const found = rows
    .map((row) => ({ ...row, tested: testedPoint(model, row.label, row.name) }))
    .filter((row) => row.tested);
  if (!found.length) return null;
  const heads = [...(single ? [] : ["Label"]), "Operating point", "Sensitivity", "Specificity"];
  const body = found.map(({ label, name, tested }) => make("tr", {},
    single ? null : make("td", {}, label),
    make("th", { scope: "row" }, name),
    rate(tested.sensitivity),
    rate(tested.specificity),
  ));
  return make("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Operating points as tested" },
    make("table", {},
      make("caption", {}, "In that test, with 95 % intervals"),
      make("thead", {}, make("tr", {}, heads.map((h) => make("th", { scope: "col" }, h)))),
      make("tbody", {}, body),
    ));
}

function limits(model) {
  const said = [
    "It knows images like those it learnt from. How it does elsewhere, at other ages, machines or "
      + "hospitals, is unknown until it is measured there.",
    "A finding that it did not learn is not looked for: a low probability does not mean that the "
      + "image is normal.",
    assumption(model),
    model.rejection
      ? "It says when an image is not like what it was trained on. That catches other kinds of "
        + "images, not subtle differences."
      : "It cannot tell which images are unlike those it was trained on.",
    ...notes(model),
  ];
  return make("ul", { class: "doubts" }, said.filter(Boolean).map((text) => make("li", {}, text)));
}

function assumption({ assumed_prevalence: assumed, task }) {
  if (assumed === "balanced") {
    return task.kind === "multiclass"
      ? "Its probabilities take for granted that each class is as likely as any other."
      : "Its probabilities take for granted that half of all images are positive, which is hardly "
        + "so where you work.";
  }
  if (assumed === "training") {
    return "Its probabilities take for granted the share of disease among its training images.";
  }
  return "The bundle does not say which share of disease its probabilities take for granted.";
}

function notes({ operating_points: points = [], task }) {
  const byNote = new Map(); // several points often share a doubt; it is told once
  for (const { note, name, label } of points) {
    if (!note) continue;
    const point = task.kind === "binary" ? name : `${name} of ${label}`;
    byNote.set(note, [...(byNote.get(note) ?? []), point]);
  }
  return [...byNote].map(([note, names]) => `Operating point ${names.join(", ")}: ${note}.`.replace(/\.\.$/, "."));
}

/** Write the notice, which stands whatever else is shown. */
export function showNotice(text) {
  const [first, ...rest] = text.split(/(?<=\.)\s+/);
  fill(find("notice"), make("strong", {}, first), rest.length ? ` ${rest.join(" ")}` : "");
}
