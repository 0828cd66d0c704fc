// What a probability means: pure functions, the counterparts of plainfilm.metrics.prevalence.

/**
 * Return a probability as it would be where another share of the images is positive.
 * The odds are multiplied by the ratio of the prior odds (Elkan 2001).
 */
export function shiftPrevalence(probability, from, to) {
  const up = probability * (to / from);
  const down = (1 - probability) * ((1 - to) / (1 - from));
  return up / (up + down);
}

/** Return PPV and NPV by Bayes' theorem; NaN where nothing would be called so. */
export function predictiveValues(sensitivity, specificity, prevalence) {
  const hit = sensitivity * prevalence;
  const clear = specificity * (1 - prevalence);
  return {
    ppv: hit / (hit + (1 - specificity) * (1 - prevalence)),
    npv: clear / (clear + (1 - sensitivity) * prevalence),
  };
}

/** Return the share of positives that a bundle's probabilities take for granted, or null. */
export function assumedShare(model, label) {
  if (model.assumed_prevalence === "balanced") return 0.5;
  const told = model.training_prevalence;
  const share = typeof told === "number" ? told : told?.[label];
  return typeof share === "number" && share > 0 && share < 1 ? share : null;
}

/** Return the share that somebody typed in percent, or null where it is none between 0 and 100. */
export function readShare(text) {
  const value = Number(text.trim().replace("%", "").replace(",", ".")) / 100;
  return text.trim() !== "" && value > 0 && value < 1 ? value : null;
}

const LEAST = 5e-7; // probabilities are told with six decimals: 0 is anything up to this

/** Return a probability as it reads at a share of positives; as it is where that is not known. */
export function readAt(model, label, probability, share) {
  const assumed = assumedShare(model, label);
  if (share === null || assumed === null) return probability;
  return shiftPrevalence(Math.min(1 - LEAST, Math.max(LEAST, probability)), assumed, share);
}

const UNIT = "\u00a0%"; // the sign stays on the line of its number

/** Write the share of something counted as percent. */
export const percent = (share) => (share * 100).toFixed(1) + UNIT;

/** Write a probability as percent: a model is never sure. */
export function chance(probability) {
  if (probability < 0.001) return `<\u00a00.1${UNIT}`;
  return probability > 0.999 ? `>\u00a099.9${UNIT}` : percent(probability);
}

/** Write a share that somebody typed: 5 %, 0.5 %, not 5.0 %. */
export const plainPercent = (share) => Number((share * 100).toPrecision(4)) + UNIT;

/** Write a number with three decimals. */
export const decimals = (value) => value.toFixed(3);

/** Write a probability with three decimals. */
export function figure(probability) {
  if (probability < 0.001) return "<\u00a00.001";
  return probability > 0.999 ? ">\u00a00.999" : decimals(probability);
}

/** Write how many of 100 a share is. */
export function ofHundred(share) {
  const value = share * 100;
  if (value === 0 || value === 100) return `${value}`;
  if (value < 0.5) return "fewer than 1";
  if (value > 99.5) return "more than 99";
  return `about ${Math.round(value)}`;
}

/** Return the names of the operating points, each once, in the bundle's order. */
export function pointNames(model) {
  return [...new Set((model.operating_points ?? []).map((point) => point.name))];
}

/** Return one operating point of a label, or null. */
export function findPoint(model, label, name) {
  const found = (model.operating_points ?? []).find((p) => p.label === label && p.name === name);
  return found ?? null;
}

/** Return what the test found of a point, or null: sensitivity and specificity with intervals. */
export function testedPoint(model, label, name) {
  const points = model.tested_on?.points;
  if (!points) return null;
  const binary = model.task.kind === "binary";
  const found = points[`${label}/${name}`] ?? points[label]?.[name] ?? (binary ? points[name] : null);
  const known = (metric) => typeof metric?.value === "number";
  return found && known(found.sensitivity) && known(found.specificity) ? found : null;
}

/** Return the most probable label of an answer. */
export function mostLikely(answer) {
  const ranked = Object.entries(answer.probabilities);
  return ranked.reduce((best, one) => (one[1] > best[1] ? one : best))[0];
}

/** Return what an answer is called: a class, or of several labels those that are positive. */
export function callOf(model, answer, point) {
  const { calls } = answer;
  if (model.task.kind === "binary") return calls[point] ?? Object.values(calls)[0] ?? "";
  if (model.task.kind === "multiclass") return calls["most-likely"] ?? mostLikely(answer);
  const positive = model.task.labels.filter((label) => calls[`${label}/${point}`] === "positive");
  return positive.join(", ") || "none";
}

/** Say whether one label is called positive; null where the point has no such label. */
export function isPositive(model, answer, label, point) {
  if (model.task.kind === "binary") return callOf(model, answer, point) === model.task.classes[1];
  if (model.task.kind === "multiclass") return callOf(model, answer, point) === label;
  const call = answer.predicted[`${label}/${point}`];
  return call === undefined ? null : call === "positive";
}

/** Return what speaks against using an answer, the graver first. */
export function doubtsOf(answer) {
  return [
    ...(answer.rejected ? ["unlike training"] : []),
    ...(answer.indeterminate?.length ? ["indeterminate"] : []),
  ];
}

/** Say in words how often such a call is right, or null where no test tells. */
export function worth(model, label, point, positive, share) {
  const tested = testedPoint(model, label, point);
  const prevalence = share ?? assumedShare(model, label);
  if (!tested || prevalence === null) return null;
  const values = predictiveValues(tested.sensitivity.value, tested.specificity.value, prevalence);
  const right = positive ? values.ppv : values.npv;
  if (Number.isNaN(right)) return null;
  const [no, yes] =
    model.task.kind === "binary" ? model.task.classes : [`not ${label}`, label];
  const where = `where ${plainPercent(prevalence)} of all images are ${yes}`;
  const sentence = positive
    ? `Of 100 images called ${yes}, ${where}, ${ofHundred(right)} truly are.`
    : `Of 100 images called ${no}, ${where}, ${ofHundred(1 - right)} are ${yes} all the same.`;
  return { sentence, right, tested, prevalence };
}
