// Writes the worklist as CSV (RFC 4180), in which no cell is run as a formula.

import { adjustedProbability, predictedClass } from "./interpret.js";

// Spreadsheets treat a cell that begins like this as a formula, even in quotes. Numbers are not
// changed. `plainfilm predict` does the same (_csv.py).
const FORMULA = /^'*[=+\-@\t\r\n＝＋－＠]/u;
const NUMBER = /^[+-]?\d[\d.,%]*(?:e[+-]?\d+)?(?: (?:to )?[+-]?\d[\d.,%]*)*$/i;

/** Return one cell, quoted if necessary and with an apostrophe before a formula. */
export function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  const text = FORMULA.test(value) && !NUMBER.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Return rows as CSV; the byte order mark declares UTF-8. */
export const writeCsv = (rows) =>
  `\ufeff${rows.map((row) => row.map(cell).join(",")).join("\r\n")}\r\n`;

/** Return the worklist as rows; the names of common columns are those of `plainfilm predict`. */
export function toRows(items, model, { point, prevalences }) {
  const { labels } = model.task;
  const adjusted = labels.filter((label) => prevalences[label] !== undefined);
  const head = [
    "file",
    ...labels.map((label) => `probability_${label}`),
    ...adjusted.map((label) => `probability_${label}_at_prevalence`),
    ...adjusted.map((label) => `prevalence_${label}`),
    ...["predicted", "novelty", "rejected", "indeterminate", "reason", "problem"],
    ...["operating_point", "sha256", "bundle", "bundle_id"],
  ];
  return [head, ...items.map((item) => toRow(item, model, point, prevalences, adjusted))];
}

function toRow(item, model, point, prevalences, adjusted) {
  const { labels, kind } = model.task;
  const { result, error } = item;
  const sha256 = result?.sha256 ?? error?.sha256;
  const { probabilities = {}, novelty = null, rejected = false, indeterminate = [] } = result ?? {};
  const predicted = result ? predictedClass(model, result, point) : "";
  const used = kind === "multiclass" ? Object.keys(result?.predicted ?? {})[0] : point;
  return [
    item.name,
    ...labels.map((label) => probabilities[label]?.toFixed(6)),
    ...adjusted.map((label) => label in probabilities
      ? adjustedProbability(model, label, probabilities[label], prevalences[label]) : null),
    ...adjusted.map((label) => (label in probabilities ? prevalences[label] : null)),
    predicted,
    novelty?.toFixed(4),
    rejected,
    indeterminate.join(";"),
    ...(result ? [result.reason, result.problem] : [error?.code ?? "not-analysed", error?.title ?? item.state]),
    predicted ? used : null,
    ...[sha256, model.bundle.name, model.bundle.id],
  ];
}
