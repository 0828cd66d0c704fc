// Settings of the interpretation: operating point, label and prevalence.

import { fill, find, make } from "./dom.js";
import {
  assumedPrevalence, equalNames, findPoint, parsePrevalence, plainPercent, pointNames, sentence,
  validationText,
} from "./interpret.js";

const options = (names) => names.map((name) => make("option", { value: name }, name));

/** Connect the settings; `onChange` is called after a change, `onLabel` with a new label. */
export function connectSettings(state, { onChange, onLabel }) {
  find("point").addEventListener("change", (event) => {
    state.point = event.target.value;
    showBasis(state);
    onChange();
  });
  find("prevalence").addEventListener("input", () => enterPrevalence(state, onChange));
  find("label").addEventListener("change", (event) => onLabel(event.target.value));
}

/** Use another model: keep the settings that it supports, and offer its choices. */
export function useModel(state, model) {
  const { labels, kind } = model.task;
  const names = pointNames(model);
  state.model = model;
  if (!names.includes(state.point)) state.point = names.includes("balanced") ? "balanced" : names[0] ?? null;
  if (!labels.includes(state.label)) state.label = labels[0];
  const kept = Object.entries(state.prevalences).filter(([label]) => labels.includes(label));
  state.prevalences = Object.fromEntries(kept);
  fill(find("point"), options(names)).value = state.point;
  fill(find("label"), options(labels)).value = state.label;
  find("point-choice").hidden = kind === "multiclass" || names.length < 2;
  find("label-choice").hidden = kind !== "multilabel";
  showSettings(state);
}

/** Show the settings of the chosen label. */
export function showSettings(state) {
  const { model, label, prevalences } = state;
  const assumed = assumedPrevalence(model, label);
  const entered = prevalences[label];
  find("label").value = label;
  find("prevalence").value = entered === undefined ? "" : Number((entered * 100).toPrecision(6));
  find("prevalence").placeholder = assumed === null ? "" : String(Number((assumed * 100).toPrecision(3)));
  find("prevalence-of").textContent = `of ${label}`;
  find("prevalence-choice").hidden = model.task.kind === "multiclass" || assumed === null;
  showError(false);
  showBasis(state);
}

function showBasis(state) {
  const { model, label, point, prevalences } = state;
  const multiclass = model.task.kind === "multiclass";
  const locked = multiclass ? null : findPoint(model, label, point);
  const basis = locked ? [...rules(model, label, point), validationText(locked.validation)] : [];
  find("point-rule").textContent = basis.filter(Boolean).map(sentence).join(" ");
  find("point-rule").hidden = !locked;
  const prevalence = prevalences[label] ?? assumedPrevalence(model, label);
  const where = prevalence === null ? "" : ` at a prevalence of ${plainPercent(prevalence)}`;
  find("list-basis").textContent = multiclass
    ? "Probability of the predicted class"
    : `Probability of ${label}${where}`;
}

/** Return the rules of a point and of those with the same threshold. */
function rules(model, label, point) {
  const byRule = new Map();
  for (const name of [point, ...equalNames(model, point)]) {
    const { rule } = findPoint(model, label, name);
    byRule.set(rule, [...(byRule.get(rule) ?? []), name]);
  }
  return [...byRule].map(([rule, names]) => `${names.join(" and ")}: ${rule}`);
}

function enterPrevalence(state, onChange) {
  const text = find("prevalence").value;
  const prevalence = parsePrevalence(text);
  const wrong = text.trim() !== "" && prevalence === null;
  showError(wrong);
  if (wrong) return;
  if (prevalence === null) delete state.prevalences[state.label];
  else state.prevalences[state.label] = prevalence;
  showBasis(state);
  onChange();
}

function showError(wrong) {
  find("prevalence").setAttribute("aria-invalid", String(wrong));
  find("prevalence-error").textContent = wrong ? "Enter a percentage above 0 and below 100." : "";
}
