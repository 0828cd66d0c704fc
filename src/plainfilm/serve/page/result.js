// Shows the result of one image: warnings first, then the probability, then its reliability.

import { breakable, definitions, fill, find, make, makeSvg } from "./dom.js";
import {
  adjustedProbability, assumedPrevalence, decimals, findPoint, isPositive, mainLabel, percent, plainPercent,
  predictedClass, probabilityDecimals, probabilityPercent, reliability, sentence, warningsOf, whyUnknown,
  withInterval,
} from "./interpret.js";

const NAMES = {
  format: "Format", bits: "Bits", mode: "Mode", bytes: "File size", coloured: "Colour",
  exif: "EXIF data", progressive: "Progressive", view: "View", laterality: "Laterality", age: "Age",
  sex: "Sex", modality: "Modality", body_part: "Body part", manufacturer: "Manufacturer",
  pixel_spacing: "Pixel spacing", photometric: "Photometric", presentation: "Presentation",
  frames: "Frames", frame: "Frame used", orientation: "Orientation", trimmed: "Borders removed",
  quantisation: "JPEG quantisation", window: "Window", alpha: "Alpha channel", polarity: "Polarity",
};
const yesNo = (value) => (value ? "yes" : "no");
const FORMATS = {
  bytes: (value) => `${Math.max(1, Math.round(value / 1000)).toLocaleString("en")} kB`,
  coloured: yesNo, exif: yesNo, progressive: yesNo,
  age: (value) => `${value} years`,
  pixel_spacing: (value) => `${value} mm`,
  trimmed: percent,
};
const HIDDEN = new Set(["width", "height", "decoded_width", "decoded_height"]);

/** Show one item; `context` has model, point, label and prevalences. */
export function showResult(item, context) {
  const { result, error } = item;
  fill(find("result-title"), breakable(item.name));
  fill(find("warnings"), result ? warnings(result, context.model) : null);
  fill(find("prediction"), result ? prediction(result, context) : error ? failure(error) : waiting(item));
  fill(find("reliability"), result ? reliabilityOf(result, context) : null);
  fill(find("metadata"), result ? metadataRows(result) : null);
}

/** Return the result in one sentence for screen readers. */
export function summarise(item, { model, point, label, prevalences }) {
  const { result } = item;
  if (!result) return `${item.name}: ${item.error?.title ?? "being analysed"}`;
  if (result.rejected) return [item.name, "rejected", ...warningsOf(result)].join(", ");
  const shown = mainLabel(model, result, label);
  const value = adjustedProbability(model, shown, result.probabilities[shown], prevalences[shown] ?? null);
  const found = predictedClass(model, result, point);
  const predicted = found ? `predicted as ${found}` : "no predicted class";
  return [item.name, ...warningsOf(result), `${shown} ${probabilityPercent(value)}`, predicted].join(", ");
}

const warning = (kind, title, text) =>
  make("div", { class: `flag ${kind}` }, make("strong", {}, title), make("p", {}, text));

function warnings(result, model) {
  const found = [];
  if (result.rejected) {
    found.push(warning("serious", "Rejected", `${sentence(result.problem)} The model would return a probability for `
      + "any image, so none is shown."));
  }
  for (const label of result.indeterminate ?? []) {
    const band = model.indeterminate[label];
    const which = model.task.kind === "binary" ? "Indeterminate" : `Indeterminate: ${label}`;
    found.push(warning("warning", which,
      `The model output, ${probabilityDecimals(result.probabilities[label])}, is between `
        + `${decimals(band.low)} and ${decimals(band.high)}. In this range, validation does not support `
        + "either class."));
  }
  return found;
}

const waiting = (item) =>
  make("p", { class: "quiet" }, item.state === "running" ? "Being analysed\u2026" : "Waiting\u2026");

function failure({ title, code, detail }) {
  return [
    make("p", { class: "failure" }, "No prediction"),
    make("p", {}, sentence(title), detail ? ` ${sentence(detail)} ` : " ", make("code", {}, code)),
  ];
}

function prediction(result, context) {
  if (result.rejected) {
    return [
      make("p", { class: "failure" }, "No predicted class"),
      make("p", {}, "Reason: ", make("code", {}, result.reason)),
      noveltyLine(result, context.model),
    ];
  }
  const { model, point, prevalences } = context;
  const label = mainLabel(model, result, context.label);
  const prevalence = prevalences[label] ?? null;
  const output = result.probabilities[label];
  const value = adjustedProbability(model, label, output, prevalence);
  return [
    make("p", { class: "overline" }, `Probability of ${label}`),
    make("p", { class: "value" }, probabilityPercent(value)),
    scale(output, label, model, point),
    predictionLine(result, label, context),
    make("p", { class: "quiet" }, basis(model, label, prevalence)),
    model.task.kind === "binary" ? null : labelTable(result, label, context),
  ];
}

function noveltyLine({ reason, novelty }, model) {
  if (reason !== "unlike-training") return null;
  const limit = decimals(model.rejection.threshold);
  return make("p", { class: "quiet" }, `Its novelty, the distance from the training images, is ${decimals(novelty)}; `
    + `images are rejected from ${limit} on.`);
}

function predictionLine(result, label, { model, point }) {
  const locked = findPoint(model, label, point);
  if (!locked && model.task.kind !== "multiclass") {
    return make("p", { class: "predicted" }, `No predicted class: no threshold of ${label} is locked or given.`);
  }
  const predicted = model.task.kind === "multilabel"
    ? { true: label, false: `not ${label}`, null: "nothing" }[isPositive(model, result, label, point)]
    : predictedClass(model, result, point);
  const output = result.probabilities[label];
  const relation = locked && output >= locked.threshold ? "is at or above" : "is below";
  const reason = locked && model.task.kind !== "multiclass"
    ? `: the model output, ${probabilityDecimals(output)}, ${relation} the threshold of `
      + `${decimals(locked.threshold)} (operating point ${point}).`
    : ", the most probable class.";
  return make("p", { class: "predicted" }, "Predicted as ", make("strong", {}, predicted), reason);
}

function basis(model, label, prevalence) {
  if (model.task.kind === "multiclass") {
    return {
      balanced: "Assumes that all classes are equally frequent.",
      adaptation: "Assumes the class frequencies of the images that the model was adapted to.",
      training: "Assumes the class frequencies of the training images.",
    }[model.assumed_prevalence] ?? "The bundle does not record the class frequencies that this probability assumes.";
  }
  const assumed = assumedPrevalence(model, label);
  if (assumed === null) return "The bundle does not record the prevalence that this probability assumes.";
  const share = plainPercent(assumed);
  return prevalence === null
    ? `Assumes a prevalence of ${share}. Enter the prevalence where you work to adjust the probability.`
    : `Adjusted from the assumed prevalence of ${share} to ${plainPercent(prevalence)}. The predicted class does `
      + "not change.";
}

/** Draw the model output on a line from 0 to 1, with threshold and indeterminate range. */
function scale(output, label, model, point) {
  if (model.task.kind === "multiclass") return null; // the table has a bar for each class
  const line = make("div", { class: "bar", "aria-hidden": "true" });
  const keys = [];
  const add = (kind, text, from, to = null) => {
    const part = make("i", { class: kind });
    part.style.left = `${100 * from}%`;
    if (to !== null) part.style.width = `${100 * (to - from)}%`;
    line.append(part);
    keys.unshift(make("span", { class: `key ${kind}` }, text));
  };
  const [band, locked] = [model.indeterminate[label], findPoint(model, label, point)];
  if (band) add("range", "indeterminate", band.low, band.high);
  if (locked) add("threshold", `threshold ${decimals(locked.threshold)}`, locked.threshold);
  add("dot", `model output ${probabilityDecimals(output)}`, output);
  return make("div", { class: "scale" }, line, make("p", { class: "keys" }, keys));
}

function labelTable(result, chosen, { model, point, prevalences, chooseLabel }) {
  const multiclass = model.task.kind === "multiclass";
  const rows = model.task.labels.map((label) => {
    const value = adjustedProbability(model, label, result.probabilities[label], prevalences[label] ?? null);
    const bar = make("i");
    bar.style.width = `${100 * value}%`;
    const name = multiclass
      ? label
      : make("button", { type: "button", class: "link", "aria-pressed": String(label === chosen),
        onclick: () => chooseLabel(label) }, label);
    const positive = isPositive(model, result, label, point);
    const text = multiclass ? "predicted" : "positive";
    return make("tr", { class: positive ? "positive" : "" },
      make("th", { scope: "row" }, name),
      make("td", { class: "amount" }, make("span", { "aria-hidden": "true", class: "amount-bar" }, bar)),
      make("td", { class: "number" }, probabilityPercent(value)),
      make("td", {}, positive ? text : "\u2013"));
  });
  const heads = [multiclass ? "Class" : "Label", "", "Probability", "Prediction"].map((text) =>
    text ? make("th", { scope: "col" }, text) : make("td"));
  return make("table", { class: "labels" },
    make("caption", { class: "hidden-text" }, "All labels"),
    make("thead", {}, make("tr", {}, heads)), make("tbody", {}, rows));
}

function reliabilityOf(result, { model, label, point, prevalences }) {
  // The test results apply to images like the training images.
  if (model.task.kind === "multiclass" || result.rejected) return [];
  const positive = isPositive(model, result, label, point);
  if (positive === null) return [];
  const found = reliability(model, label, point, positive, prevalences[label] ?? null);
  const title = make("h3", {}, "Reliability of this prediction");
  if (!found) {
    return [title, make("p", { class: "quiet" },
      `Unknown: ${whyUnknown(model, label, point) || "the prevalence is not known."}`)];
  }
  const { tested, share, text } = found;
  const note = result.indeterminate?.length
    ? " Indeterminate images are included; for them, the prediction is less reliable."
    : "";
  return [title,
    make("div", { class: "reliability" }, hundred(share), make("p", {}, text)),
    make("p", { class: "quiet" },
      `Test on ${model.tested_on.dataset}, operating point ${point}: sensitivity `
        + `${withInterval(tested.sensitivity, percent)}, specificity `
        + `${withInterval(tested.specificity, percent)}, with 95 % confidence intervals. `
        + `Valid for similar images only.${note}`)];
}

/** Draw a hundred dots and fill this share of them. */
function hundred(share) {
  const filled = Math.round(share * 100);
  const dots = Array.from({ length: 100 }, (_, n) => makeSvg("circle", {
    cx: 5 + 10 * (n % 10), cy: 5 + 10 * Math.floor(n / 10), r: 3.6, class: n < filled ? "full" : "empty",
  }));
  return makeSvg("svg", { viewBox: "0 0 100 100", class: "hundred", "aria-hidden": "true" }, ...dots);
}

function metadataRows({ metadata, sha256, novelty }) {
  const { width, height } = metadata;
  const rest = Object.entries(metadata).filter(([name]) => !HIDDEN.has(name)).map(([name, value]) => [
    NAMES[name] ?? name.replaceAll("_", " "), FORMATS[name]?.(value) ?? String(value),
  ]);
  return definitions([
    ...(width && height ? [["Size", `${width} \u00d7 ${height} pixels`]] : []),
    ...rest,
    ...(typeof novelty === "number" ? [["Novelty", decimals(novelty)]] : []),
    ["SHA-256", make("code", { title: sha256 }, sha256.slice(0, 16))],
  ]);
}
