// Operating point, label and prevalence: how the answers are read.

import { fill, find, make } from "./dom.js";
import { assumedShare, findPoint, plainPercent, pointNames, readShare } from "./meaning.js";

const options = (names) => names.map((name) => make("option", { value: name }, name));

/** Wire the settings; `reread` hears that answers read otherwise, `relabelled` that the label is another. */
export function wire(state, { reread, relabelled }) {
  find("point").addEventListener("change", (event) => {
    state.point = event.target.value;
    showRule(state);
    reread();
  });
  find("share").addEventListener("input", () => enterShare(state, reread));
  find("label").addEventListener("change", (event) => relabelled(event.target.value));
}

/** Keep of the settings what another model has, and show what it offers. */
export function settle(state, model) {
  const { labels, kind } = model.task;
  const names = pointNames(model);
  const usual = names.includes("balanced") ? "balanced" : names[0] ?? null;
  state.model = model;
  if (!names.includes(state.point)) state.point = usual;
  if (!labels.includes(state.label)) state.label = labels[0];
  const kept = Object.entries(state.shares).filter(([label]) => labels.includes(label));
  state.shares = Object.fromEntries(kept);
  fill(find("point"), options(names)).value = state.point;
  fill(find("label"), options(labels)).value = state.label;
  find("point-choice").hidden = kind === "multiclass" || !names.length;
  find("label-choice").hidden = kind !== "multilabel";
  show(state);
}

/** Show the settings of the label that is chosen. */
export function show(state) {
  const { model, label, shares } = state;
  const assumed = assumedShare(model, label);
  find("label").value = label;
  find("share").value = shares[label] === undefined ? "" : Number((shares[label] * 100).toPrecision(6));
  find("share").placeholder = assumed === null ? "" : String(Number((assumed * 100).toPrecision(3)));
  find("share-of").textContent = `of ${label}`;
  find("share-choice").hidden = model.task.kind === "multiclass" || assumed === null;
  showError(false);
  showRule(state);
}

function showRule(state) {
  const { model, label, point, shares } = state;
  const several = model.task.kind === "multiclass";
  const locked = several ? null : findPoint(model, label, point);
  find("point-rule").textContent = locked ? `${point}: ${locked.rule}.`.replace(/\.\.$/, ".") : "";
  find("point-rule").hidden = !locked;
  const share = shares[label] ?? assumedShare(model, label);
  const where = share === null ? "" : `, where ${plainPercent(share)} are`;
  find("list-basis").textContent = several ? "Probability of the class called" : `Probability of ${label}${where}`;
}

function enterShare(state, reread) {
  const text = find("share").value;
  const share = readShare(text);
  const wrong = text.trim() !== "" && share === null;
  showError(wrong);
  if (wrong) return;
  if (share === null) delete state.shares[state.label];
  else state.shares[state.label] = share;
  showRule(state);
  reread();
}

function showError(wrong) {
  find("share").setAttribute("aria-invalid", String(wrong));
  find("share-error").textContent = wrong ? "A share of images in percent, above 0 and below 100." : "";
}
