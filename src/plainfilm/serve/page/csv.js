// The work list as a table for a spreadsheet: RFC 4180, and nothing that a spreadsheet would run.

import { callOf, readAt } from "./meaning.js";

// A cell that begins so is taken for a formula by spreadsheets, also where it is quoted.
const FORMULA = /^[=+\-@\t\r\n＝＋－＠]/u;

/** Return one cell: text guarded against formulas, and quoted where it must be. */
export function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  const text = FORMULA.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Return rows as CSV; the mark at its head tells spreadsheets that it is UTF-8. */
export const writeCsv = (rows) =>
  `\ufeff${rows.map((row) => row.map(cell).join(",")).join("\r\n")}\r\n`;

/** Return the work list as rows, the first of names; those of `plainfilm predict` where it has them. */
export function rowsOf(items, model, { point, shares }) {
  const { labels } = model.task;
  const corrected = labels.filter((label) => shares[label] !== undefined);
  const head = [
    "file",
    ...labels.map((label) => `probability_${label}`),
    ...corrected.map((label) => `probability_${label}_at_prevalence`),
    ...corrected.map((label) => `prevalence_${label}`),
    ...["call", "operating_point", "novelty", "rejected", "indeterminate", "error", "problem"],
    ...["sha256", "bundle", "bundle_id"],
  ];
  return [head, ...items.map((item) => row(item, model, point, shares, corrected))];
}

function row(item, model, point, shares, corrected) {
  const { labels, kind } = model.task;
  const { answer, error } = item;
  const tail = [answer?.sha256 ?? error?.sha256, model.bundle.name, model.bundle.id];
  if (!answer) {
    const empty = Array(labels.length + 2 * corrected.length + 5).fill(null);
    return [item.name, ...empty, error?.code ?? "not-asked", error?.title ?? item.state, ...tail];
  }
  return [
    item.name,
    ...labels.map((label) => answer.probabilities[label]),
    ...corrected.map((label) => readAt(model, label, answer.probabilities[label], shares[label])),
    ...corrected.map((label) => shares[label]),
    callOf(model, answer, point),
    kind === "multiclass" ? "most-likely" : point,
    answer.novelty,
    answer.rejected,
    (answer.indeterminate ?? []).join(";"),
    null,
    null,
    ...tail,
  ];
}
