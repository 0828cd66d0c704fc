// Keeps the decoded pictures of the last few images, and requests missing ones.

import { predict } from "./api.js";

const MAX_IMAGES = 8;

/** Decode a data URL. */
async function decode(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  return image;
}

/** Pictures by item. */
export class ImageCache {
  #entries = new Map(); // item -> { seen, original, heat: Map(label -> picture) }
  #stop = new AbortController();

  /** Move the pictures of a result into the cache. */
  async store(item, result, label) {
    const { images } = result;
    delete result.images;
    if (!images) return;
    const entry = this.#entries.get(item) ?? { heat: new Map() };
    for (const name of ["seen", "original"]) {
      if (images[name]) entry[name] = await decode(images[name]);
    }
    if (images.heatmap) entry.heat.set(label, await decode(images.heatmap));
    this.#entries.delete(item);
    this.#entries.set(item, entry);
    while (this.#entries.size > MAX_IMAGES) this.#entries.delete(this.#entries.keys().next().value);
  }

  /** Return the stored pictures of an item, or null. */
  get(item) {
    return this.#entries.get(item) ?? null;
  }

  /** Request the missing pictures of an item; this cancels an earlier request. */
  async fetch(item, bundle, label) {
    this.#stop.abort();
    this.#stop = new AbortController();
    const entry = this.get(item);
    const hasHeatMap = entry?.heat.has(label) || item.result?.rejected; // a rejected image has none
    const include = [...(entry?.original ? [] : ["seen", "original"]), ...(hasHeatMap ? [] : ["heatmap"])];
    if (!include.length) return entry;
    const { signal } = this.#stop;
    const { predictions: [result] } = await predict(item.file, { bundle, include, label, signal });
    if (signal.aborted) return null;
    if (result.images) await this.store(item, result, label);
    return signal.aborted ? null : this.get(item);
  }

  /** Discard all pictures. */
  clear() {
    this.#stop.abort();
    this.#entries.clear();
  }
}
