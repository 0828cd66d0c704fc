// Describes the model: training data, test results and limitations.

import { definitions, fill, find, make } from "./dom.js";
import { decimals, percent, pointNames, range, sentence, testedPoint, withInterval } from "./interpret.js";

const count = (number, noun) =>
  `${number.toLocaleString("en")} ${number === 1 ? noun : `${noun}s`}`;

/** Show the description of a model. */
export function showAbout(node, model) {
  fill(node, facts(model), testTable(model), limitations(model));
}

function facts(model) {
  const { task, bundle } = model;
  const rows = [
    task.kind === "binary" ? ["Classes", task.classes.join(", ")] : ["Labels", task.labels.join(", ")],
    ["Training data", trainedOn(model.trained_on)],
    ["Pretrained weights", pretrained(model.trained_on.pretrained)],
    ...model.trained_on.inherited.map((weights) => [ROLES[weights.role], pretrained(weights)]),
    ["Test data", testedOn(model.tested_on)],
    ["AUROC", withInterval(model.tested_on?.auroc, decimals)],
    ["Bundle", make("code", { title: bundle.id }, `${bundle.name} ${bundle.id.slice(0, 12)}`)],
  ];
  return make("dl", { class: "metadata" }, definitions(rows.filter(([, value]) => value !== null)));
}

const ROLES = { earlier: "Earlier weights", teacher: "Weights of the teacher", imported: "Imported teacher" };

function trainedOn({ dataset, images }) {
  if (images === null) return dataset ?? "not recorded in the bundle";
  return dataset === null ? count(images, "image") : `${dataset} (${count(images, "image")})`;
}

function pretrained(weights) {
  if (!weights) return null;
  const images = weights.trained_on.join(", ") || "images that are not stated";
  return `${weights.name}, trained on ${images}; licence: ${weights.licence ?? "not stated"}`;
}

function testedOn(tested) {
  if (!tested) return "no test results available";
  const patients = tested.patients ? `, ${count(tested.patients, "patient")}` : "";
  return `${tested.dataset} (${count(tested.images, "image")}${patients})`;
}

function testTable(model) {
  const { labels, kind } = model.task;
  const isBinary = kind === "binary";
  if (kind === "multiclass") return null;
  const rows = labels
    .flatMap((label) => pointNames(model).map((name) => ({ label, name })))
    .map((row) => ({ ...row, tested: testedPoint(model, row.label, row.name) }))
    .filter((row) => row.tested);
  if (!rows.length) return null;
  const rate = (metric) =>
    make("td", {}, percent(metric.value), make("small", {}, range(metric, percent)));
  const heads = [...(isBinary ? [] : ["Label"]), "Operating point", "Sensitivity", "Specificity"];
  const body = rows.map(({ label, name, tested }) => make("tr", {},
    isBinary ? null : make("td", {}, label),
    make("th", { scope: "row" }, name),
    rate(tested.sensitivity),
    rate(tested.specificity),
  ));
  return make("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Test results" },
    make("table", {},
      make("caption", {}, "Test results with 95 % confidence intervals"),
      make("thead", {}, make("tr", {}, heads.map((head) => make("th", { scope: "col" }, head)))),
      make("tbody", {}, body),
    ));
}

function limitations(model) {
  const texts = [
    "The model applies to images like its training images. Its performance for other age groups, "
      + "scanners or hospitals is unknown until it is measured there.",
    "The model looks only for the findings it was trained on: a low probability does not mean "
      + "that the image is normal.",
    assumption(model),
    model.rejection
      ? "The model rejects images that are unlike its training images. This detects other kinds of "
        + "images, not subtle differences."
      : "The model cannot detect images that are unlike its training images.",
    ...notes(model),
  ];
  return make("ul", { class: "limitations" }, texts.map((text) => make("li", {}, text)));
}

function assumption({ assumed_prevalence: assumed, task }) {
  if (assumed === "balanced") {
    return task.kind === "multiclass"
      ? "The probabilities assume that all classes are equally frequent."
      : "The probabilities assume that half of all images are positive. The prevalence where you work "
        + "is probably lower.";
  }
  if (assumed === "training") {
    return "The probabilities assume the prevalence of the training images.";
  }
  if (assumed === "adaptation") {
    return "The probabilities assume the prevalence of the images that the model was adapted to.";
  }
  return "The bundle does not record which prevalence the probabilities assume.";
}

function notes({ operating_points: points, task }) {
  const byNote = new Map(); // several points often have the same note
  for (const { rule, validation, name, label } of points) {
    const note = validation.same_as_balanced ? rule : validation.note;
    if (!note) continue;
    const point = task.kind === "binary" ? name : `${name} of ${label}`;
    byNote.set(note, [...(byNote.get(note) ?? []), point]);
  }
  return [...byNote].map(([note, names]) => sentence(`operating point ${names.join(", ")}: ${note}`));
}

/** Show the notice, which is always visible. */
export function showNotice(text) {
  const [first, ...rest] = text.split(/(?<=\.)\s+/);
  fill(find("notice"), make("strong", {}, first), rest.length ? ` ${rest.join(" ")}` : "");
}
