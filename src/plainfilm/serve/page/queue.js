// Sends many images to the service, a few at a time.

import { Problem } from "./api.js";

const CONCURRENT = 4; // a browser opens six connections to a host; two remain for pictures
const MAX_TRIES = 12;
const STATUSES = new Set([429, 502, 503, 504]);
const CODES = new Set(["busy", "no-decoder", "stopping", "too-many-connections", "deadline"]);

// A whole request fails with a status; an image in an answer fails with a code only.
const isRetried = ({ status, code }) => STATUSES.has(status) || CODES.has(code);

/** Return whether another try may succeed. */
export const isTemporary = (error) => isRetried(error) || error.status === 0 || error.status >= 500;

/** A queue of items; `run(item, signal)` returns the result, `onChange(item)` is called at each step. */
export class Queue {
  #waiting = [];
  #running = 0;
  #resume = 0; // end of the pause that the service requested, in ms of performance.now()
  #stop = new AbortController();
  #run;
  #onChange;

  constructor(run, onChange) {
    this.#run = run;
    this.#onChange = onChange;
  }

  /** Add items at the end. */
  add(items) {
    for (const item of items) Object.assign(item, { state: "waiting", tries: 0, error: null });
    this.#waiting.push(...items);
    for (const item of items) this.#onChange(item);
    this.#startNext();
  }

  /** Move a waiting item to the front. */
  prefer(item) {
    const place = this.#waiting.indexOf(item);
    if (place > 0) this.#waiting.unshift(...this.#waiting.splice(place, 1));
  }

  /** Remove all items, and cancel those in progress. */
  clear() {
    this.#stop.abort();
    this.#stop = new AbortController();
    this.#waiting = [];
    this.#running = 0;
    this.#resume = 0;
  }

  #startNext() {
    if (this.#resume > performance.now()) return;
    while (this.#running < CONCURRENT && this.#waiting.length) this.#start(this.#waiting.shift());
  }

  async #start(item) {
    const { signal } = this.#stop;
    this.#running += 1;
    item.state = "running";
    item.tries += 1;
    this.#onChange(item);
    try {
      item.result = await this.#run(item, signal);
      item.state = "done";
    } catch (error) {
      if (signal.aborted) return;
      this.#fail(item, error);
    }
    if (signal.aborted) return;
    this.#running -= 1;
    this.#onChange(item);
    this.#startNext();
  }

  #fail(item, error) {
    const problem = error instanceof Problem ? error : new Problem(0, "page", String(error.message));
    if (isRetried(problem) && item.tries < MAX_TRIES) {
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
    setTimeout(() => signal.aborted || this.#startNext(), until - performance.now() + 5);
  }
}
