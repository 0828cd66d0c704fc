// The pictures of the image that is looked at. A few are kept, the rest are asked for again.

import { predict } from "./api.js";

const KEPT = 8;

/** Turn a data URL into a picture that can be drawn. */
async function decode(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  return image;
}

/** Pictures by item, the last few; gone with `clear`. */
export class Pictures {
  #kept = new Map(); // item -> { seen, original, heat: Map(label -> picture) }
  #stop = new AbortController();

  /** Take the pictures that came with an answer; the answer lets go of their text. */
  async take(item, answer, label) {
    const { images } = answer;
    delete answer.images;
    if (!images) return;
    const entry = this.#kept.get(item) ?? { heat: new Map() };
    for (const name of ["seen", "original"]) {
      if (images[name]) entry[name] = await decode(images[name]);
    }
    if (images.heatmap) entry.heat.set(label, await decode(images.heatmap));
    this.#kept.delete(item);
    this.#kept.set(item, entry);
    while (this.#kept.size > KEPT) this.#kept.delete(this.#kept.keys().next().value);
  }

  /** Return what is kept of an item, or null. */
  of(item) {
    return this.#kept.get(item) ?? null;
  }

  /** Ask for what is missing of an item; an earlier question for another one is broken off. */
  async fetch(item, bundle, label) {
    this.#stop.abort();
    this.#stop = new AbortController();
    const kept = this.of(item);
    const include = [...(kept?.original ? [] : ["seen", "original"]), ...(kept?.heat.has(label) ? [] : ["heatmap"])];
    if (!include.length) return kept;
    const { signal } = this.#stop;
    const told = await predict(item.file, { bundle, include, label, signal });
    const [answer] = told.predictions;
    if (signal.aborted) return null;
    if (answer.images) await this.take(item, answer, label);
    return signal.aborted ? null : this.of(item);
  }

  /** Forget all of them. */
  clear() {
    this.#stop.abort();
    this.#kept.clear();
  }
}
