// The radiograph on its canvas: zoom, pan, window and level, inversion, heat map.

const MOST = 32; // times as large as what fits
const WHOLE = { window: 255, level: 127.5 }; // every grey level as it is

/** A viewer on a canvas; `changed(view)` hears of every change so that controls can follow. */
export class Viewer {
  #canvas;
  #changed;
  #pictures = {}; // view -> { grey, width, height, shown }
  #heat = null;
  #frame = 0;
  #pointers = new Map();

  constructor(canvas, changed) {
    this.#canvas = canvas;
    this.#changed = changed;
    this.view = { show: "original", mode: "pan", inverted: false, heat: false, opacity: 0.6 };
    Object.assign(this.view, WHOLE, { zoom: 1, x: 0.5, y: 0.5 });
    this.geometry = { geometry: "squash", trimmed: false };
    this.source = null; // what is shown, as it was handed over
    new ResizeObserver(() => this.#redraw()).observe(canvas);
    this.#listen();
  }

  /** Show other pictures; zoom, window and inversion begin anew, what is shown stays. */
  show(source, geometry) {
    this.#release();
    Object.assign(this, { source, geometry });
    for (const name of ["seen", "original"]) this.#pictures[name] = greyOf(source[name]);
    this.reset();
  }

  /** Lay another heat map over the picture, or none. */
  lay(image) {
    this.#heat = image;
    this.#redraw();
  }

  /** Forget all pictures. */
  clear() {
    this.#release();
    this.#redraw();
  }

  #release() {
    for (const { shown } of Object.values(this.#pictures)) shown.width = shown.height = 0;
    this.#pictures = {};
    this.#heat = null;
    this.source = null;
  }

  /** Change what is seen. */
  set(changes) {
    const view = { ...this.view, ...changes };
    view.window = clamp(view.window, 2, 512);
    view.level = clamp(view.level, 0, 255);
    view.zoom = clamp(view.zoom, 1, MOST);
    const half = 0.5 / view.zoom; // no further out than the picture's edge
    view.x = clamp(view.x, half, 1 - half);
    view.y = clamp(view.y, half, 1 - half);
    this.view = view;
    this.#redraw();
    this.#changed(view);
  }

  /** See the whole picture with every grey level as it is. */
  reset() {
    this.set({ ...WHOLE, inverted: false, zoom: 1, x: 0.5, y: 0.5 });
  }

  /** Zoom by a factor about a place on the canvas (CSS pixels), or about its middle. */
  zoomBy(factor, place = null) {
    const { zoom, x, y } = this.view;
    const box = this.#box();
    if (!box) return;
    const next = clamp(zoom * factor, 1, MOST);
    const middle = { x: this.#canvas.clientWidth / 2, y: this.#canvas.clientHeight / 2 };
    const off = { x: (place ?? middle).x - middle.x, y: (place ?? middle).y - middle.y };
    // The point of the picture that lies below the pointer stays below it.
    const kept = 1 - zoom / next;
    this.set({
      zoom: next,
      x: x + (off.x / box.width) * kept,
      y: y + (off.y / box.height) * kept,
    });
  }

  /** Move the picture by so many CSS pixels. */
  panBy(dx, dy) {
    const box = this.#box();
    if (box) this.set({ x: this.view.x - dx / box.width, y: this.view.y - dy / box.height });
  }

  /** Say whether the heat map can be laid over what is shown. */
  get heatFits() {
    // Where borders were cut off, only the service knows where the picture's part lies in it.
    return this.view.show === "seen" || !this.geometry.trimmed;
  }

  get #picture() {
    return this.#pictures[this.view.show] ?? null;
  }

  /** Return size and corner of the whole picture on the canvas, in CSS pixels. */
  #box() {
    const picture = this.#picture;
    const { clientWidth: across, clientHeight: down } = this.#canvas;
    if (!picture || !across || !down) return null;
    const scale = Math.min(across / picture.width, down / picture.height) * this.view.zoom;
    const [width, height] = [picture.width * scale, picture.height * scale];
    const left = across / 2 - this.view.x * width;
    const top = down / 2 - this.view.y * height;
    return { left, top, width, height, scale };
  }

  #redraw() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#paint();
    });
  }

  #paint() {
    const canvas = this.#canvas;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(canvas.clientWidth * ratio);
    canvas.height = Math.round(canvas.clientHeight * ratio);
    const pen = canvas.getContext("2d");
    const box = this.#box();
    if (!box) return;
    pen.scale(ratio, ratio);
    // What the network gets is shown in its own pixels; a film is smooth.
    pen.imageSmoothingEnabled = this.view.show === "original" && box.scale < 6;
    pen.imageSmoothingQuality = "high";
    pen.drawImage(this.#windowed(), box.left, box.top, box.width, box.height);
    if (this.view.heat && this.#heat && this.heatFits) this.#paintHeat(pen, box);
  }

  #paintHeat(pen, box) {
    const { left, top, width, height } = this.#heatBox(box);
    pen.save();
    pen.beginPath();
    pen.rect(box.left, box.top, box.width, box.height);
    pen.clip();
    pen.globalAlpha = this.view.opacity;
    pen.imageSmoothingEnabled = true;
    pen.drawImage(this.#heat, left, top, width, height);
    pen.restore();
  }

  /** Return where the network's square lies on the picture. */
  #heatBox(box) {
    const { geometry } = this.geometry;
    if (this.view.show === "seen" || geometry === "squash") return box;
    const side = (geometry === "crop" ? Math.min : Math.max)(box.width, box.height);
    const left = box.left + (box.width - side) / 2;
    return { left, top: box.top + (box.height - side) / 2, width: side, height: side };
  }

  /** Return the picture through window, level and inversion, made again only where they changed. */
  #windowed() {
    const picture = this.#picture;
    const { window: width, level, inverted } = this.view;
    const key = `${width} ${level} ${inverted}`;
    if (picture.key === key) return picture.shown;
    picture.key = key;
    const table = lookup(width, level, inverted);
    const pen = picture.shown.getContext("2d");
    const data = pen.createImageData(picture.width, picture.height);
    const out = new Uint32Array(data.data.buffer);
    for (let n = 0; n < out.length; n += 1) out[n] = table[picture.grey[n]];
    pen.putImageData(data, 0, 0);
    return picture.shown;
  }

  #listen() {
    const canvas = this.#canvas;
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("dblclick", () => this.set({ zoom: 1 }));
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    canvas.addEventListener("pointerdown", (event) => this.#press(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
      canvas.addEventListener(end, (event) => this.#pointers.delete(event.pointerId));
    }
  }

  #wheel(event) {
    if (!this.#picture) return;
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    const amount = clamp(event.deltaY * lines, -200, 200);
    this.zoomBy(Math.exp(-amount * (event.ctrlKey ? 0.01 : 0.002)), placeOf(event));
  }

  #press(event) {
    if (!this.#picture) return;
    this.#canvas.setPointerCapture(event.pointerId);
    const windows = event.button === 2 || (event.button === 0 && this.view.mode === "window");
    this.#pointers.set(event.pointerId, { ...placeOf(event), windows });
  }

  #move(event) {
    const before = this.#pointers.get(event.pointerId);
    if (!before) return;
    const now = { ...placeOf(event), windows: before.windows };
    const other = [...this.#pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.#pointers.set(event.pointerId, now);
    const [dx, dy] = [now.x - before.x, now.y - before.y];
    if (other) this.#pinch(before, now, other);
    else if (now.windows) this.#drag(dx, dy);
    else this.panBy(dx, dy);
  }

  #drag(dx, dy) {
    // Across is the window (contrast), down is the level (brightness), as on workstations.
    this.set({ window: this.view.window + dx, level: this.view.level + dy * 0.5 });
  }

  #pinch(before, now, other) {
    const apart = (a, b) => Math.hypot(a.x - b.x, a.y - b.y) || 1;
    const middle = (a, b) => ({ x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 });
    const [from, to] = [middle(before, other), middle(now, other)];
    this.panBy(to.x - from.x, to.y - from.y);
    this.zoomBy(apart(now, other) / apart(before, other), to);
  }
}

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

const placeOf = (event) => ({ x: event.offsetX, y: event.offsetY });

/** Return what each grey level becomes, as pixels of a canvas. */
export function lookup(width, level, inverted) {
  const table = new Uint32Array(256);
  for (let grey = 0; grey < 256; grey += 1) {
    const value = clamp(Math.round(((grey - level) / width + 0.5) * 255), 0, 255);
    const shown = inverted ? 255 - value : value;
    table[grey] = 0xff000000 | (shown << 16) | (shown << 8) | shown;
  }
  return table;
}

function greyOf(image) {
  const { naturalWidth: width, naturalHeight: height } = image;
  const shown = document.createElement("canvas");
  Object.assign(shown, { width, height });
  const pen = shown.getContext("2d", { willReadFrequently: true });
  pen.drawImage(image, 0, 0);
  const { data } = pen.getImageData(0, 0, width, height);
  const grey = new Uint8Array(width * height);
  for (let n = 0; n < grey.length; n += 1) grey[n] = data[4 * n];
  return { grey, width, height, shown, key: null };
}
