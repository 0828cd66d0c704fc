// Interprets predictions: prevalence, operating points and number formats. All functions are pure;
// those of prevalence are the counterparts of plainfilm.metrics.prevalence.

/**
 * Return a probability adjusted from one prevalence to another.
 * The odds are multiplied by the ratio of the prior odds (Elkan 2001).
 */
export function shiftPrevalence(probability, from, to) {
  const up = probability * (to / from);
  const down = (1 - probability) * ((1 - to) / (1 - from));
  return up / (up + down);
}

/**
 * Return PPV and NPV of a test, with their limits, at another prevalence.
 * The odds of PPV are proportional to those of the class, and the odds of NPV to their inverse.
 */
export function predictiveValues({ prevalence: tested, ppv, npv }, prevalence) {
  const move = (metric, from, to) => Object.fromEntries(Object.entries(metric).map(
    ([end, value]) => [end, typeof value === "number" ? shiftPrevalence(value, from, to) : null],
  ));
  return { ppv: move(ppv, tested, prevalence), npv: move(npv, 1 - tested, 1 - prevalence) };
}

/** Return the prevalence that a bundle's probabilities assume, or null. */
export function assumedPrevalence(model, label) {
  if (model.assumed_prevalence === "balanced") return 0.5;
  const training = model.training_prevalence;
  const share = typeof training === "number" ? training : training?.[label];
  return typeof share === "number" && share > 0 && share < 1 ? share : null;
}

/** Return a prevalence that was entered in percent, or null if it is not between 0 and 100. */
export function parsePrevalence(text) {
  const value = Number(text.trim().replace("%", "").replace(",", ".")) / 100;
  return text.trim() !== "" && value > 0 && value < 1 ? value : null;
}

const LEAST = 5e-7; // probabilities have six decimals: 0 is anything up to this

/** Return a probability adjusted to a prevalence; unchanged if either prevalence is unknown. */
export function adjustedProbability(model, label, probability, prevalence) {
  const assumed = assumedPrevalence(model, label);
  if (prevalence === null || assumed === null) return probability;
  return shiftPrevalence(Math.min(1 - LEAST, Math.max(LEAST, probability)), assumed, prevalence);
}

const UNIT = "\u00a0%"; // no line break between number and sign

/** Format the share of a count as percent. */
export const percent = (share) => (share * 100).toFixed(1) + UNIT;

/** Format a probability as percent, never as 0 or 100. */
export function probabilityPercent(probability) {
  if (probability < 0.001) return `<\u00a00.1${UNIT}`;
  return probability > 0.999 ? `>\u00a099.9${UNIT}` : percent(probability);
}

/** Format a share as it was entered: 5 %, 0.5 %, not 5.0 %. */
export const plainPercent = (share) => Number((share * 100).toPrecision(4)) + UNIT;

/** Format a number with three decimals. */
export const decimals = (value) => value.toFixed(3);

/** Format a probability with three decimals, never as 0 or 1. */
export function probabilityDecimals(probability) {
  if (probability < 0.001) return "<\u00a00.001";
  return probability > 0.999 ? ">\u00a00.999" : decimals(probability);
}

/** Format a share as a number out of 100. */
export function ofHundred(share) {
  const value = share * 100;
  if (value === 0 || value === 100) return `${value}`;
  if (value < 0.5) return "fewer than 1";
  if (value > 99.5) return "more than 99";
  return `about ${Math.round(value)}`;
}

/** Format a metric's 95 % interval; empty if it has none. */
export function range({ low, high }, format) {
  if (typeof low !== "number" || typeof high !== "number") return "";
  return `${format(low).replace("\u00a0%", "")} to ${format(high)}`;
}

/** Format a metric with its 95 % interval; null if it is undefined. */
export function withInterval(metric, format) {
  if (typeof metric?.value !== "number") return null;
  const limits = range(metric, format);
  return limits ? `${format(metric.value)} (${limits})` : format(metric.value);
}

/** Return a text as a sentence with one full stop. */
export const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`.replace(/\.\.$/, ".");

/** Return the names of the operating points in the bundle's order, one for equal thresholds. */
export function pointNames(model) {
  return [...pointGroups(model).values()].map(([first]) => first);
}

/** Return the names of the other operating points that have the same thresholds. */
export function equalNames(model, name) {
  const group = [...pointGroups(model).values()].find((names) => names.includes(name)) ?? [];
  return group.filter((other) => other !== name);
}

function pointGroups(model) {
  const groups = new Map();
  for (const name of new Set((model.operating_points ?? []).map((point) => point.name))) {
    const key = JSON.stringify(model.task.labels.map((label) => findPoint(model, label, name)?.threshold));
    groups.set(key, [...(groups.get(key) ?? []), name]);
  }
  return groups;
}

/** Return one operating point of a label, or null. */
export function findPoint(model, label, name) {
  return model.operating_points?.find((p) => p.label === label && p.name === name) ?? null;
}

/** Return the rates on validation, with disturbed copies where they differ; empty if unknown. */
export function validationText({ unchanged, all_copies: all }) {
  const rates = ["sensitivity", "specificity"];
  if (rates.some((rate) => typeof unchanged[rate] !== "number")) return "";
  const texts = rates.map((rate) => {
    const [clean, every] = [percent(unchanged[rate]), percent(all[rate])];
    return `${rate} ${clean}${clean === every ? "" : ` (${every} with disturbed copies)`}`;
  });
  return `on the validation images that selected it: ${texts.join(", ")}`;
}

/** Return sensitivity and specificity of a point in the test, with intervals, or null. */
export function testedPoint(model, label, name) {
  const points = model.tested_on?.points ?? {};
  const found = points[`${label}/${name}`] ?? (model.task.kind === "binary" ? points[name] : null);
  const isKnown = (metric) => typeof metric?.value === "number";
  return found && isKnown(found.sensitivity) && isKnown(found.specificity) ? found : null;
}

/** Return the most probable label of a result that is not rejected. */
export function mostProbable(result) {
  const ranked = Object.entries(result.probabilities);
  return ranked.reduce((best, one) => (one[1] > best[1] ? one : best))[0];
}

/** Return the label whose probability is shown first. */
export const mainLabel = (model, result, label) =>
  model.task.kind === "multiclass" && !result.rejected ? mostProbable(result) : label;

/** Return the predicted class; for several labels, the positive ones. Without a threshold it is empty. */
export function predictedClass(model, result, point) {
  const { predicted, rejected } = result;
  if (rejected) return "";
  if (model.task.kind === "binary") return predicted[point] ?? Object.values(predicted)[0] ?? "";
  if (model.task.kind === "multiclass") return Object.values(predicted)[0] ?? mostProbable(result);
  if (!Object.keys(predicted).length) return "";
  const positive = model.task.labels.filter((label) => isPositive(model, result, label, point));
  return positive.join(", ") || "none";
}

/** Return whether a label is predicted positive; null if it does not have this operating point. */
export function isPositive(model, result, label, point) {
  if (result.rejected) return null;
  if (model.task.kind === "binary") return predictedClass(model, result, point) === model.task.classes[1];
  if (model.task.kind === "multiclass") return predictedClass(model, result, point) === label;
  const found = result.predicted[`${label}/${point}`];
  return found === undefined ? null : found === "positive";
}

/** Return the warnings about a result, the most severe first. */
export function warningsOf(result) {
  return [
    ...(result.rejected ? [result.problem] : []),
    ...(result.indeterminate?.length ? ["indeterminate"] : []),
  ];
}

/** Return why it is unknown how often a prediction is correct; empty if it is known. */
export function whyUnknown(model, label, point) {
  const tested = testedPoint(model, label, point);
  if (!tested) return "there is no test result for this operating point.";
  return tested.no_predictive_values ? sentence(tested.no_predictive_values) : "";
}

/** Return how often such a prediction is correct, with a sentence; null if that is unknown. */
export function reliability(model, label, point, positive, entered) {
  const tested = testedPoint(model, label, point);
  const prevalence = entered ?? assumedPrevalence(model, label);
  if (!tested?.predictive_values || prevalence === null) return null;
  const { ppv, npv } = predictiveValues(tested.predictive_values, prevalence);
  const wrong = { value: 1 - npv.value, low: 1 - npv.high, high: 1 - npv.low };
  const { value: share, low, high } = positive ? ppv : wrong; // have the finding
  if (typeof (positive ? ppv : npv).value !== "number" || Number.isNaN(share)) return null;
  const [no, yes] =
    model.task.kind === "binary" ? model.task.classes : [`not ${label}`, label];
  const text = `If ${plainPercent(prevalence)} of all images are ${yes}, `
    + `${ofHundred(share)} of 100 images predicted as ${positive ? yes : no} are ${yes} `
    + `(95 % confidence interval ${Math.floor(100 * low)} to ${Math.ceil(100 * high)}).`;
  return { text, share, tested };
}
