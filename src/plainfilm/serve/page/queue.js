// Asking for many images: a few at once, as fast as the service takes them.

import { Problem } from "./api.js";

const AT_ONCE = 4; // a browser opens six connections to a host; two are left for pictures
const TRIES = 12;
const STATUSES = new Set([429, 502, 503, 504]);
const CODES = new Set(["busy", "no-decoder", "stopping", "too-many-connections", "deadline"]);

// The service says so of a request by its status, and of one image within it by the code.
const passes = ({ status, code }) => STATUSES.has(status) || CODES.has(code);

/** Say whether somebody may well ask again. */
export const isTemporary = (error) => passes(error) || error.status === 0 || error.status >= 500;

/** A queue of items; `ask(item, signal)` gets the answer, `changed(item)` hears of every step. */
export class Queue {
  #waiting = [];
  #running = 0;
  #resume = 0; // when the service said that it takes more, in ms of performance.now()
  #stop = new AbortController();
  #ask;
  #changed;

  constructor(ask, changed) {
    this.#ask = ask;
    this.#changed = changed;
  }

  /** Add items at the end, or at the head where somebody looks at one. */
  add(items, { first = false } = {}) {
    for (const item of items) Object.assign(item, { state: "waiting", tries: 0, error: null });
    this.#waiting = first ? [...items, ...this.#waiting] : [...this.#waiting, ...items];
    for (const item of items) this.#changed(item);
    this.#next();
  }

  /** Have an item that still waits asked next. */
  prefer(item) {
    const place = this.#waiting.indexOf(item);
    if (place > 0) this.#waiting.unshift(...this.#waiting.splice(place, 1));
  }

  /** Forget everything, and break off what is under way. */
  clear() {
    this.#stop.abort();
    this.#stop = new AbortController();
    this.#waiting = [];
    this.#running = 0;
    this.#resume = 0;
  }

  #next() {
    const pause = this.#resume - performance.now();
    if (pause > 0) return;
    while (this.#running < AT_ONCE && this.#waiting.length) this.#run(this.#waiting.shift());
  }

  async #run(item) {
    const { signal } = this.#stop;
    this.#running += 1;
    item.state = "asking";
    item.tries += 1;
    this.#changed(item);
    try {
      item.answer = await this.#ask(item, signal);
      item.state = "read";
    } catch (error) {
      if (signal.aborted) return;
      this.#fail(item, error);
    }
    if (signal.aborted) return;
    this.#running -= 1;
    this.#changed(item);
    this.#next();
  }

  #fail(item, error) {
    const problem = error instanceof Problem ? error : new Problem(0, "page", String(error.message));
    if (passes(problem) && item.tries < TRIES) {
      item.state = "waiting";
      this.#waiting.unshift(item);
      this.#pause(problem.wait ?? Math.min(8, 0.5 * 2 ** item.tries));
    } else {
      item.state = "failed";
      item.error = problem;
    }
  }

  #pause(seconds) {
    const until = performance.now() + Math.min(60, seconds) * 1000;
    if (until <= this.#resume) return;
    this.#resume = until;
    const { signal } = this.#stop;
    setTimeout(() => signal.aborted || this.#next(), until - performance.now() + 5);
  }
}
