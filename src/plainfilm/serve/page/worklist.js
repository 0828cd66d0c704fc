// The work list: one row an image, sortable, filtered, and walked through with the arrow keys.

import { breakable, fill, find, make } from "./dom.js";
import { callOf, chance, doubtsOf, isPositive, mostLikely, readAt } from "./meaning.js";

const STATES = { waiting: "waiting", asking: "being read" };
const PAUSE = 250; // ms between two writings of the list while answers come in
const GRAVITY = { failed: 3, rejected: 2, indeterminate: 1 };

/** What the list may be narrowed to: a name for people, and which items it keeps. */
export const FILTERS = {
  all: ["All images", () => true],
  positive: ["Called positive", (item, { model, point, label }) =>
    item.answer && isPositive(model, item.answer, label, point) === true],
  indeterminate: ["Indeterminate", (item) => Boolean(item.answer?.indeterminate?.length)],
  rejected: ["Not like its training images", (item) => Boolean(item.answer?.rejected)],
  failed: ["No answer", (item) => item.state === "failed"],
  open: ["Not answered yet", (item) => item.state in STATES],
};

/** Return what a row says about an item, at an operating point and a prevalence. */
export function describe(item, { model, point, label, shares }) {
  if (!item.answer) {
    const remark = item.error?.title ?? STATES[item.state] ?? item.state;
    const gravity = item.state === "failed" ? GRAVITY.failed : 0;
    return { name: item.name, probability: null, call: "", remark, gravity };
  }
  const { answer } = item;
  const shown = model.task.kind === "multiclass" ? mostLikely(answer) : label;
  const doubts = doubtsOf(answer);
  return {
    name: item.name,
    probability: readAt(model, shown, answer.probabilities[shown], shares[shown] ?? null),
    call: answer.rejected ? "not called" : callOf(model, answer, point),
    remark: doubts.join(", "),
    gravity: answer.rejected ? GRAVITY.rejected : doubts.length ? GRAVITY.indeterminate : 0,
  };
}

/** Order two descriptions by a column; what has no value comes last, either way up. */
export function compare(a, b, column, direction) {
  const value = (row) => (column === "remark" ? row.gravity || row.remark : row[column]);
  const [x, y] = [value(a), value(b)];
  const empty = (one) => one === null || one === "" || one === undefined;
  if (empty(x) || empty(y)) return empty(x) - empty(y);
  if (typeof x === "number" && typeof y === "number") return direction * (x - y);
  return direction * String(x).localeCompare(String(y), undefined, { numeric: true });
}

/** The table; `choose(item)` hears which row somebody went to, `context()` tells how to read it. */
export class WorkList {
  #items = [];
  #sort = { column: null, direction: 1 };
  #filter = "all";
  #rows = new Map();
  #chosen = null;
  #timer = 0;
  #last = -PAUSE;
  #choose;
  #context;
  #painted;
  #body = find("rows");

  constructor(choose, context, painted) {
    this.#choose = choose;
    this.#context = context;
    this.#painted = painted;
    for (const button of document.querySelectorAll("#list thead button")) {
      button.addEventListener("click", () => this.#sortBy(button.dataset.column));
    }
    this.#body.addEventListener("click", (event) => {
      const row = event.target.closest("tr");
      if (row) this.#choose(row.item);
    });
    this.#body.addEventListener("keydown", (event) => this.#walk(event));
  }

  /** Take other items. */
  take(items) {
    this.#items = items;
    if (!items.length) {
      this.#rows.clear();
      this.#chosen = null;
    }
    this.refresh();
  }

  /** Narrow the list. */
  narrow(filter) {
    this.#filter = filter;
    this.refresh();
  }

  /** Mark the row of the item that is looked at. */
  mark(item, { focus = false } = {}) {
    this.#chosen = item;
    this.#paint();
    const button = this.#rows.get(item)?.querySelector("button");
    button?.closest("tr").scrollIntoView({ block: "nearest" });
    if (focus) button?.focus({ preventScroll: true });
  }

  /** Write the list again soon: many changes are one, or a long list would do nothing else. */
  changed() {
    const pause = Math.max(0, PAUSE - (performance.now() - this.#last));
    this.#timer ||= setTimeout(() => this.refresh(), pause);
  }

  /** Write the list again at once. */
  refresh() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#paint();
    this.#last = performance.now();
  }

  /** Return the items in the order in which they stand, filtered as they are shown. */
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

  /** Return the item so many rows away from the chosen one, or null. */
  neighbour(step) {
    const shown = this.shown;
    const place = shown.indexOf(this.#chosen);
    return shown[place < 0 ? 0 : place + step] ?? null;
  }

  #sortBy(column) {
    const { column: old, direction } = this.#sort;
    // Probability is asked for highest first, remarks the gravest first; then the other way, then none.
    const first = column === "probability" || column === "remark" ? -1 : 1;
    if (old !== column) this.#sort = { column, direction: first };
    else if (direction === first) this.#sort = { column, direction: -first };
    else this.#sort = { column: null, direction: 1 };
    this.#paint();
  }

  #walk(event) {
    const buttons = [...this.#body.querySelectorAll("button")];
    const place = buttons.indexOf(document.activeElement);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 };
    let to = place + (steps[event.key] ?? NaN);
    if (event.key === "Home") to = 0;
    if (event.key === "End") to = buttons.length - 1;
    if (place < 0 || Number.isNaN(to)) return;
    event.preventDefault();
    const button = buttons[Math.min(buttons.length - 1, Math.max(0, to))];
    this.#choose(button.closest("tr").item, { focus: true });
  }

  #paint() {
    const context = this.#context();
    const shown = this.shown;
    const rows = shown.map((item) => this.#row(item, context));
    const focused = document.activeElement;
    const same = rows.length === this.#body.children.length &&
      rows.every((row, n) => row === this.#body.children[n]);
    if (!same) {
      fill(this.#body, rows);
      if (focused !== document.activeElement && focused?.isConnected) focused.focus();
    }
    const reached = this.#rows.get(shown.includes(this.#chosen) ? this.#chosen : shown[0]);
    for (const row of rows) {
      markRow(row, { reached: row === reached, chosen: row.item === this.#chosen });
    }
    find("none").hidden = rows.length > 0;
    this.#paintHead();
    this.#painted();
  }

  #paintHead() {
    const { column, direction } = this.#sort;
    for (const button of document.querySelectorAll("#list thead button")) {
      const sorted = button.dataset.column === column;
      const order = direction === 1 ? "ascending" : "descending";
      button.closest("th").setAttribute("aria-sort", sorted ? order : "none");
    }
  }

  #row(item, context) {
    const told = describe(item, context);
    let row = this.#rows.get(item);
    if (!row) {
      row = newRow(item);
      row.item = item;
      this.#rows.set(item, row);
    }
    const { probability, call, remark, gravity } = told;
    const texts = [probability === null ? "" : chance(probability), call, remark];
    texts.forEach((text, n) => {
      const place = row.children[n + 1];
      if (place.textContent !== text) place.textContent = text;
    });
    if (row.dataset.state !== item.state) row.dataset.state = item.state;
    if (row.dataset.gravity !== String(gravity)) row.dataset.gravity = gravity;
    return row;
  }
}

/** Make one row the stop for Tab, from which the arrow keys go on, and one the chosen. */
function markRow(row, { reached, chosen }) {
  const button = row.firstChild.firstChild;
  if ((button.tabIndex === 0) !== reached) button.tabIndex = reached ? 0 : -1;
  if (button.hasAttribute("aria-current") === chosen) return;
  row.classList.toggle("chosen", chosen);
  if (chosen) button.setAttribute("aria-current", "true");
  else button.removeAttribute("aria-current");
}

/** Return an empty row. Its roles are spelt out, for a narrow list lays rows out as no table is. */
function newRow(item) {
  const name = make("button", { type: "button", tabindex: "-1", title: item.name }, breakable(item.name));
  const cells = Array.from({ length: 3 }, () => make("td", { role: "cell" }));
  return make("tr", { role: "row" }, make("th", { role: "rowheader", scope: "row" }, name), cells);
}
