// The answer for one image: what speaks against it first, then the number, then what it is worth.

import { withInterval } from "./about.js";
import { breakable, draw, fill, find, make } from "./dom.js";
import {
  assumedShare, callOf, chance, decimals, figure, findPoint, isPositive, mostLikely, percent, plainPercent, readAt,
  worth,
} from "./meaning.js";

const NAMES = {
  format: "Format", bits: "Bits", mode: "Mode", bytes: "Size of the file", coloured: "Coloured",
  exif: "EXIF data", progressive: "Progressive", view: "View", laterality: "Side", age: "Age",
  sex: "Sex", modality: "Modality", body_part: "Body part", manufacturer: "Manufacturer",
  pixel_spacing: "Pixel spacing", photometric: "Photometric", presentation: "Presentation",
  frames: "Frames", frame: "Frame read", orientation: "Orientation", trimmed: "Borders cut off",
  quantisation: "JPEG quantisation", window: "Window",
};
const WRITERS = {
  bytes: (value) => `${Math.max(1, Math.round(value / 1000)).toLocaleString("en")} kB`,
  coloured: yesNo, exif: yesNo, progressive: yesNo,
  age: (value) => `${value} years`,
  pixel_spacing: (value) => `${value} mm`,
  trimmed: (value) => percent(value),
};
const HIDDEN = new Set(["width", "height", "decoded_width", "decoded_height"]);

function yesNo(value) {
  return value ? "yes" : "no";
}

/** Write the panel for one item; `context` tells model, point, label and shares. */
export function showReading(item, context) {
  fill(find("reading-title"), breakable(item.name));
  fill(find("flags"), flags(item, context));
  if (!item.answer) {
    fill(find("verdict"), item.error ? failure(item.error) : waiting(item));
    fill(find("worth"));
    fill(find("metadata"));
    return;
  }
  fill(find("verdict"), verdict(item.answer, context));
  fill(find("worth"), worthOf(item.answer, context));
  fill(find("metadata"), factRows(item.answer));
}

/** Say in one sentence what the panel says, for those who listen. */
export function tell(item, { model, point, label, shares }) {
  if (!item.answer) return `${item.name}: ${item.error?.title ?? "being read"}`;
  const { answer } = item;
  const shown = model.task.kind === "multiclass" ? mostLikely(answer) : label;
  const value = readAt(model, shown, answer.probabilities[shown], shares[shown] ?? null);
  const doubts = [
    ...(answer.rejected ? ["not like what it was trained on"] : []),
    ...(answer.indeterminate?.length ? ["indeterminate"] : []),
  ];
  const call = answer.rejected ? "not called" : `called ${callOf(model, answer, point)}`;
  return [item.name, ...doubts, `${shown} ${chance(value)}`, call].join(", ");
}

function flags({ answer }, { model }) {
  if (!answer) return [];
  const found = [];
  if (answer.rejected) {
    const limit = model.rejection ? `, the limit is ${decimals(model.rejection.threshold)}` : "";
    found.push(flag("serious", "Not like what it was trained on",
      "Do not use this probability: the model answers for any picture, and this one is unlike "
        + `those that it learnt from (novelty ${decimals(answer.novelty)}${limit}).`));
  }
  for (const label of answer.indeterminate ?? []) {
    const band = model.indeterminate?.[label];
    const why = band
      ? `: the model's own figure, ${figure(answer.probabilities[label])}, lies between ${decimals(band.low)} and `
        + `${decimals(band.high)}, where validation does not settle it.`
      : ".";
    const which = model.task.kind === "binary" ? "Indeterminate" : `Indeterminate: ${label}`;
    found.push(flag("warning", which, `The call could as well be the other one${why}`));
  }
  return found;
}

const flag = (kind, title, text) =>
  make("div", { class: `flag ${kind}` }, make("strong", {}, title), make("p", {}, text));

const waiting = (item) =>
  make("p", { class: "quiet" }, item.state === "asking" ? "Being read\u2026" : "Waiting for its turn\u2026");

function failure({ title, code, detail }) {
  return [
    make("p", { class: "none" }, "No answer"),
    make("p", {}, `${title[0].toUpperCase()}${title.slice(1)}.`.replace(/\.\.$/, "."),
      detail ? ` ${detail}. ` : " ", make("code", {}, code)),
  ];
}

function verdict(answer, context) {
  const { model, label } = context;
  if (model.task.kind === "binary") return single(answer, label, context);
  const shown = model.task.kind === "multiclass" ? mostLikely(answer) : label;
  return [...single(answer, shown, context), severalLabels(answer, shown, context)];
}

function single(answer, label, context) {
  const { model, point, shares } = context;
  const share = shares[label] ?? null;
  const raw = answer.probabilities[label];
  const value = readAt(model, label, raw, share);
  return [
    make("p", { class: "kicker" }, `Probability of ${label}`),
    make("p", { class: answer.rejected ? "value doubted" : "value" }, chance(value)),
    scale(answer, label, context),
    callLine(answer, label, context),
    make("p", { class: "quiet" }, basis(model, label, raw, share)),
  ];
}

function callLine(answer, label, { model, point }) {
  if (answer.rejected) return make("p", { class: "call" }, "Not called: it is not like what the model knows.");
  const locked = findPoint(model, label, point);
  const call = model.task.kind === "multilabel"
    ? { true: label, false: `not ${label}`, null: "nothing" }[isPositive(model, answer, label, point)]
    : callOf(model, answer, point);
  const raw = answer.probabilities[label];
  const reaches = locked && raw >= locked.threshold ? "reaches" : "stays below";
  const why = locked && model.task.kind !== "multiclass"
    ? ` at ${point}: the model's own figure, ${figure(raw)}, ${reaches} the threshold of ${decimals(locked.threshold)}.`
    : ": the most probable class.";
  return make("p", { class: "call" }, "Called ", make("strong", {}, call), why);
}

function basis(model, label, raw, share) {
  if (model.task.kind === "multiclass") {
    return model.assumed_prevalence === "balanced"
      ? "This takes for granted that each class is as likely as any other."
      : "This takes for granted the shares of the classes among the training images.";
  }
  const assumed = assumedShare(model, label);
  if (assumed === null) return "The bundle does not say which share of disease it takes for granted.";
  const half = assumed === 0.5 ? "half" : plainPercent(assumed);
  if (share === null) {
    return `This takes for granted that ${half} of all images are ${label}. Enter the share where you work.`;
  }
  return `Read where ${plainPercent(share)} of all images are ${label}. The bundle takes ${half} for granted.`;
}

/** Draw the model's own figure on a line from 0 to 1, with the threshold and the indeterminate band. */
function scale(answer, label, { model, point }) {
  if (model.task.kind === "multiclass") return null; // the table below has a line for each class
  const line = make("div", { class: "bar", "aria-hidden": "true" });
  const add = (kind, from, to = null) => {
    const part = make("i", { class: kind });
    part.style.left = `${100 * from}%`;
    if (to !== null) part.style.width = `${100 * (to - from)}%`;
    line.append(part);
  };
  const keys = [];
  const raw = answer.probabilities[label];
  const [band, locked] = [model.indeterminate?.[label], findPoint(model, label, point)];
  if (band) add("range", band.low, band.high);
  if (locked) add("threshold", locked.threshold);
  add("dot", raw);
  const key = (kind, text) => keys.push(make("span", { class: `key ${kind}` }, text));
  key("dot", `model's figure ${figure(raw)}`);
  if (locked) key("threshold", `threshold ${decimals(locked.threshold)}`);
  if (band) key("range", "indeterminate");
  return make("div", { class: "scale" }, line, make("p", { class: "keys" }, keys));
}

function severalLabels(answer, chosen, { model, point, shares, choose }) {
  const multiclass = model.task.kind === "multiclass";
  const rows = model.task.labels.map((label) => {
    const value = readAt(model, label, answer.probabilities[label], shares[label] ?? null);
    const bar = make("i");
    bar.style.width = `${100 * value}%`;
    const name = multiclass
      ? label
      : make("button", { type: "button", class: "link", "aria-pressed": String(label === chosen),
        onclick: () => choose(label) }, label);
    const called = isPositive(model, answer, label, point) ? "called" : "";
    return make("tr", { class: called },
      make("th", { scope: "row" }, name),
      make("td", { class: "amount" }, make("span", { "aria-hidden": "true", class: "amount-bar" }, bar)),
      make("td", { class: "number" }, chance(value)),
      make("td", {}, called || "\u2013"));
  });
  const heads = [multiclass ? "Class" : "Label", "", "Probability", "Call"].map((text) =>
    text ? make("th", { scope: "col" }, text) : make("td"));
  return make("table", { class: "labels" },
    make("caption", { class: "unseen" }, "All labels"),
    make("thead", {}, make("tr", {}, heads)), make("tbody", {}, rows));
}

function worthOf(answer, { model, label, point, shares }) {
  // How often a call is right was measured on images like those that the model knows.
  if (model.task.kind === "multiclass" || answer.rejected) return [];
  const positive = isPositive(model, answer, label, point);
  if (positive === null) return [];
  const told = worth(model, label, point, positive, shares[label] ?? null);
  const title = make("h3", {}, "How often such a call is right");
  if (!told) {
    return [title, make("p", { class: "quiet" },
      "Not known here: this service has no test result for this operating point.")];
  }
  const { tested } = told;
  const rates = `${withInterval(tested.sensitivity, percent)} of those that are ${label} were found, `
    + `${withInterval(tested.specificity, percent)} of the others were left alone`;
  const doubt = answer.indeterminate?.length
    ? " For all images called so; of one flagged as above, less is known."
    : "";
  return [title,
    make("div", { class: "worth" }, hundred(positive ? told.right : 1 - told.right),
      make("p", {}, told.sentence)),
    make("p", { class: "quiet" },
      `At ${point}, in the test on ${model.tested_on.dataset}: ${rates} (95 % intervals). `
        + `It holds where the images are like those.${doubt}`)];
}

/** Draw a hundred dots, so many of them full. */
function hundred(share) {
  const full = Math.round(share * 100);
  const dots = Array.from({ length: 100 }, (_, n) => draw("circle", {
    cx: 5 + 10 * (n % 10), cy: 5 + 10 * Math.floor(n / 10), r: 3.6, class: n < full ? "full" : "empty",
  }));
  return draw("svg", { viewBox: "0 0 100 100", class: "hundred", "aria-hidden": "true" }, ...dots);
}

function factRows({ metadata, sha256, novelty }) {
  const size = metadata.width && metadata.height ? [["Picture", `${metadata.width} \u00d7 ${metadata.height} pixels`]] : [];
  const rest = Object.entries(metadata).filter(([name]) => !HIDDEN.has(name)).map(([name, value]) => [
    NAMES[name] ?? name.replaceAll("_", " "), WRITERS[name]?.(value) ?? String(value),
  ]);
  const ours = [
    ...(typeof novelty === "number" ? [["Novelty", decimals(novelty)]] : []),
    ["SHA-256", make("code", { title: sha256 }, sha256.slice(0, 16))],
  ];
  return [...size, ...rest, ...ours].flatMap(([name, value]) =>
    [make("dt", {}, name), make("dd", {}, value)]);
}
