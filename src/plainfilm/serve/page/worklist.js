// The worklist: one row for each image, with sorting, filters and arrow keys.

import { breakable, fill, find, make } from "./dom.js";
import {
  adjustedProbability, isPositive, mainLabel, predictedClass, probabilityPercent, warningsOf,
} from "./interpret.js";

const PENDING = { waiting: "waiting", running: "being analysed" };
const INTERVAL = 250; // ms between two updates of the list while results arrive
const SEVERITY = { failed: 3, rejected: 2, indeterminate: 1 };

/** Filters: name, and function that returns whether an item is shown. */
export const FILTERS = {
  all: ["All images", () => true],
  positive: ["Positive", (item, { model, point, label }) =>
    item.result && isPositive(model, item.result, label, point) === true],
  indeterminate: ["Indeterminate", (item) => Boolean(item.result?.indeterminate?.length)],
  rejected: ["Rejected", (item) => Boolean(item.result?.rejected)],
  failed: ["Failed", (item) => item.state === "failed"],
  pending: ["Pending", (item) => item.state in PENDING],
};

/** Return the content of an item's row. */
export function describe(item, { model, point, label, prevalences }) {
  const { name, result } = item;
  if (!result) {
    const remark = item.error?.title ?? PENDING[item.state] ?? item.state;
    const severity = item.state === "failed" ? SEVERITY.failed : 0;
    return { name, probability: null, predicted: "", remark, severity };
  }
  const shown = mainLabel(model, result, label);
  const warnings = warningsOf(result);
  return {
    name,
    probability: result.rejected
      ? null : adjustedProbability(model, shown, result.probabilities[shown], prevalences[shown] ?? null),
    predicted: result.rejected ? "rejected" : predictedClass(model, result, point),
    remark: warnings.join(", "),
    severity: result.rejected ? SEVERITY.rejected : warnings.length ? SEVERITY.indeterminate : 0,
  };
}

/** Compare two rows by a column; missing values come last in both directions. */
export function compare(a, b, column, direction) {
  const value = (row) => (column === "remark" ? row.severity || row.remark : row[column]);
  const [x, y] = [value(a), value(b)];
  const isMissing = (one) => one === null || one === "" || one === undefined;
  if (isMissing(x) || isMissing(y)) return isMissing(x) - isMissing(y);
  if (typeof x === "number" && typeof y === "number") return direction * (x - y);
  return direction * String(x).localeCompare(String(y), undefined, { numeric: true });
}

/**
 * The table. `onChoose(item)` is called when a row is chosen, `context()` returns the settings,
 * `onPaint()` is called after each update.
 */
export class WorkList {
  #items = [];
  #sort = { column: null, direction: 1 };
  #filter = "all";
  #rows = new Map();
  #chosen = null;
  #timer = 0;
  #last = -INTERVAL;
  #onChoose;
  #context;
  #onPaint;
  #body = find("rows");

  constructor(onChoose, context, onPaint) {
    this.#onChoose = onChoose;
    this.#context = context;
    this.#onPaint = onPaint;
    for (const button of document.querySelectorAll("#list thead button")) {
      button.addEventListener("click", () => this.#sortBy(button.dataset.column));
    }
    this.#body.addEventListener("click", (event) => {
      const row = event.target.closest("tr");
      if (row) this.#onChoose(row.item);
    });
    this.#body.addEventListener("keydown", (event) => this.#onKey(event));
  }

  /** Replace the items. */
  setItems(items) {
    this.#items = items;
    if (!items.length) {
      this.#rows.clear();
      this.#chosen = null;
    }
    this.refresh();
  }

  /** Show the items of one filter. */
  setFilter(filter) {
    this.#filter = filter;
    this.refresh();
  }

  /** Mark the row of the chosen item. */
  mark(item, { focus = false } = {}) {
    this.#chosen = item;
    this.#paint();
    const button = this.#rows.get(item)?.querySelector("button");
    button?.closest("tr").scrollIntoView({ block: "nearest" });
    if (focus) button?.focus({ preventScroll: true });
  }

  /** Update the list soon; several changes are combined. */
  refreshSoon() {
    const pause = Math.max(0, INTERVAL - (performance.now() - this.#last));
    this.#timer ||= setTimeout(() => this.refresh(), pause);
  }

  /** Update the list at once. */
  refresh() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#paint();
    this.#last = performance.now();
  }

  /** Return the shown items in their order. */
  get shown() {
    const context = this.#context();
    if (!context.model) return [];
    const [, keep] = FILTERS[this.#filter];
    const kept = this.#items.filter((item) => keep(item, context));
    const { column, direction } = this.#sort;
    if (!column) return kept;
    const rows = new Map(kept.map((item) => [item, describe(item, context)]));
    return kept.sort((a, b) => compare(rows.get(a), rows.get(b), column, direction));
  }

  /** Return the item this many rows from the chosen one, or null. */
  neighbour(step) {
    const shown = this.shown;
    const place = shown.indexOf(this.#chosen);
    return shown[place < 0 ? 0 : place + step] ?? null;
  }

  #sortBy(column) {
    const { column: old, direction } = this.#sort;
    // Probabilities and remarks start with the highest; then the order is reversed, then removed.
    const first = column === "probability" || column === "remark" ? -1 : 1;
    if (old !== column) this.#sort = { column, direction: first };
    else if (direction === first) this.#sort = { column, direction: -first };
    else this.#sort = { column: null, direction: 1 };
    this.#paint();
  }

  #onKey(event) {
    const buttons = [...this.#body.querySelectorAll("button")];
    const place = buttons.indexOf(document.activeElement);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 };
    let to = place + (steps[event.key] ?? NaN);
    if (event.key === "Home") to = 0;
    if (event.key === "End") to = buttons.length - 1;
    if (place < 0 || Number.isNaN(to)) return;
    event.preventDefault();
    const button = buttons[Math.min(buttons.length - 1, Math.max(0, to))];
    this.#onChoose(button.closest("tr").item, { focus: true });
  }

  #paint() {
    const context = this.#context();
    const shown = this.shown;
    const rows = shown.map((item) => this.#row(item, context));
    const focused = document.activeElement;
    const isSame = rows.length === this.#body.children.length &&
      rows.every((row, n) => row === this.#body.children[n]);
    if (!isSame) {
      fill(this.#body, rows);
      if (focused !== document.activeElement && focused?.isConnected) focused.focus();
    }
    const reachable = this.#rows.get(shown.includes(this.#chosen) ? this.#chosen : shown[0]);
    for (const row of rows) markRow(row, row === reachable, row.item === this.#chosen);
    find("empty-list").hidden = rows.length > 0;
    this.#paintHead();
    this.#onPaint();
  }

  #paintHead() {
    const { column, direction } = this.#sort;
    for (const button of document.querySelectorAll("#list thead button")) {
      const isSorted = button.dataset.column === column;
      const order = direction === 1 ? "ascending" : "descending";
      button.closest("th").setAttribute("aria-sort", isSorted ? order : "none");
    }
  }

  #row(item, context) {
    const { probability, predicted, remark, severity } = describe(item, context);
    let row = this.#rows.get(item);
    if (!row) {
      row = newRow(item);
      row.item = item;
      this.#rows.set(item, row);
    }
    const texts = [probability === null ? "" : probabilityPercent(probability), predicted, remark];
    texts.forEach((text, n) => {
      const cell = row.children[n + 1];
      if (cell.textContent !== text) cell.textContent = text;
    });
    if (row.dataset.state !== item.state) row.dataset.state = item.state;
    if (row.dataset.severity !== String(severity)) row.dataset.severity = severity;
    return row;
  }
}

/** Mark a row as the one that Tab reaches, and as the chosen one. */
function markRow(row, isReachable, isChosen) {
  const button = row.firstChild.firstChild;
  if ((button.tabIndex === 0) !== isReachable) button.tabIndex = isReachable ? 0 : -1;
  if (button.hasAttribute("aria-current") === isChosen) return;
  row.classList.toggle("chosen", isChosen);
  if (isChosen) button.setAttribute("aria-current", "true");
  else button.removeAttribute("aria-current");
}

/** Return an empty row. Its roles are explicit, since a narrow list is not displayed as a table. */
function newRow(item) {
  const name = make("button", { type: "button", tabindex: "-1", title: item.name }, breakable(item.name));
  const cells = Array.from({ length: 3 }, () => make("td", { role: "cell" }));
  return make("tr", { role: "row" }, make("th", { role: "rowheader", scope: "row" }, name), cells);
}
