// Shows the radiograph on a canvas: zoom, pan, window and level, inversion, heat map.

const MAX_ZOOM = 32; // relative to the size that fits
const FULL_RANGE = { window: 255, level: 127.5 }; // grey levels unchanged

/** A viewer on a canvas; `onChange(view)` is called after every change. */
export class Viewer {
  #canvas;
  #onChange;
  #pictures = {}; // view -> { grey, width, height, shown }
  #heat = null;
  #frame = 0;
  #pointers = new Map();

  constructor(canvas, onChange) {
    this.#canvas = canvas;
    this.#onChange = onChange;
    this.view = { show: "original", mode: "pan", inverted: false, heat: false, opacity: 0.6 };
    Object.assign(this.view, FULL_RANGE, { zoom: 1, x: 0.5, y: 0.5 });
    this.geometry = { geometry: "squash", trimmed: false };
    this.source = null; // the argument of `show`
    new ResizeObserver(() => this.#redraw()).observe(canvas);
    this.#listen();
  }

  /** Show other pictures; zoom, window and inversion are reset, the displayed image is not. */
  show(source, geometry) {
    this.#release();
    Object.assign(this, { source, geometry });
    for (const name of ["seen", "original"]) this.#pictures[name] = greyOf(source[name]);
    this.reset();
  }

  /** Set the heat map, or remove it. */
  setHeatMap(image) {
    this.#heat = image;
    this.#redraw();
  }

  /** Discard all pictures. */
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

  /** Change the view. */
  set(changes) {
    const view = { ...this.view, ...changes };
    view.window = clamp(view.window, 2, 512);
    view.level = clamp(view.level, 0, 255);
    view.zoom = clamp(view.zoom, 1, MAX_ZOOM);
    const half = 0.5 / view.zoom; // the view stays within the picture
    view.x = clamp(view.x, half, 1 - half);
    view.y = clamp(view.y, half, 1 - half);
    this.view = view;
    this.#redraw();
    this.#onChange(view);
  }

  /** Show the whole picture with unchanged grey levels. */
  reset() {
    this.set({ ...FULL_RANGE, inverted: false, zoom: 1, x: 0.5, y: 0.5 });
  }

  /** Zoom by a factor around a point of the canvas (CSS pixels), or around its centre. */
  zoomBy(factor, point = null) {
    const { zoom, x, y } = this.view;
    const box = this.#box();
    if (!box) return;
    const next = clamp(zoom * factor, 1, MAX_ZOOM);
    const centre = { x: this.#canvas.clientWidth / 2, y: this.#canvas.clientHeight / 2 };
    const offset = { x: (point ?? centre).x - centre.x, y: (point ?? centre).y - centre.y };
    // The point of the picture below the pointer stays below it.
    const kept = 1 - zoom / next;
    this.set({
      zoom: next,
      x: x + (offset.x / box.width) * kept,
      y: y + (offset.y / box.height) * kept,
    });
  }

  /** Move the picture by CSS pixels. */
  panBy(dx, dy) {
    const box = this.#box();
    if (box) this.set({ x: this.view.x - dx / box.width, y: this.view.y - dy / box.height });
  }

  /** Return whether the heat map can be shown over the displayed image. */
  get heatMapFits() {
    // If borders were removed, the position of the model input in the original is unknown here.
    return this.view.show === "seen" || !this.geometry.trimmed;
  }

  get #picture() {
    return this.#pictures[this.view.show] ?? null;
  }

  /** Return size and corner of the whole picture on the canvas, in CSS pixels. */
  #box() {
    const picture = this.#picture;
    const { clientWidth, clientHeight } = this.#canvas;
    if (!picture || !clientWidth || !clientHeight) return null;
    const scale = Math.min(clientWidth / picture.width, clientHeight / picture.height) * this.view.zoom;
    const [width, height] = [picture.width * scale, picture.height * scale];
    const left = clientWidth / 2 - this.view.x * width;
    const top = clientHeight / 2 - this.view.y * height;
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
    const context = canvas.getContext("2d");
    const box = this.#box();
    if (!box) return;
    context.scale(ratio, ratio);
    // The model input is shown with its own pixels, the original smoothly.
    context.imageSmoothingEnabled = this.view.show === "original" && box.scale < 6;
    context.imageSmoothingQuality = "high";
    context.drawImage(this.#windowed(), box.left, box.top, box.width, box.height);
    if (this.view.heat && this.#heat && this.heatMapFits) this.#paintHeat(context, box);
  }

  #paintHeat(context, box) {
    const { left, top, width, height } = this.#heatBox(box);
    context.save();
    context.beginPath();
    context.rect(box.left, box.top, box.width, box.height);
    context.clip();
    context.globalAlpha = this.view.opacity;
    context.imageSmoothingEnabled = true;
    context.drawImage(this.#heat, left, top, width, height);
    context.restore();
  }

  /** Return the position of the model input on the picture. */
  #heatBox(box) {
    const { geometry } = this.geometry;
    if (this.view.show === "seen" || geometry === "squash") return box;
    const side = (geometry === "crop" ? Math.min : Math.max)(box.width, box.height);
    const left = box.left + (box.width - side) / 2;
    return { left, top: box.top + (box.height - side) / 2, width: side, height: side };
  }

  /** Return the picture after window, level and inversion; it is cached until they change. */
  #windowed() {
    const picture = this.#picture;
    const { window: width, level, inverted } = this.view;
    const key = `${width} ${level} ${inverted}`;
    if (picture.key === key) return picture.shown;
    picture.key = key;
    const table = lookup(width, level, inverted);
    const context = picture.shown.getContext("2d");
    const data = context.createImageData(picture.width, picture.height);
    const out = new Uint32Array(data.data.buffer);
    for (let n = 0; n < out.length; n += 1) out[n] = table[picture.grey[n]];
    context.putImageData(data, 0, 0);
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
    this.zoomBy(Math.exp(-amount * (event.ctrlKey ? 0.01 : 0.002)), pointOf(event));
  }

  #press(event) {
    if (!this.#picture) return;
    this.#canvas.setPointerCapture(event.pointerId);
    const windows = event.button === 2 || (event.button === 0 && this.view.mode === "window");
    this.#pointers.set(event.pointerId, { ...pointOf(event), windows });
  }

  #move(event) {
    const before = this.#pointers.get(event.pointerId);
    if (!before) return;
    const now = { ...pointOf(event), windows: before.windows };
    const other = [...this.#pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.#pointers.set(event.pointerId, now);
    const [dx, dy] = [now.x - before.x, now.y - before.y];
    if (other) this.#pinch(before, now, other);
    else if (now.windows) this.#drag(dx, dy);
    else this.panBy(dx, dy);
  }

  #drag(dx, dy) {
    // As on workstations: sideways changes the window (contrast), up and down the level.
    this.set({ window: this.view.window + dx, level: this.view.level + dy * 0.5 });
  }

  #pinch(before, now, other) {
    const distance = (a, b) => Math.hypot(a.x - b.x, a.y - b.y) || 1;
    const middle = (a, b) => ({ x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 });
    const [from, to] = [middle(before, other), middle(now, other)];
    this.panBy(to.x - from.x, to.y - from.y);
    this.zoomBy(distance(now, other) / distance(before, other), to);
  }
}

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

const pointOf = (event) => ({ x: event.offsetX, y: event.offsetY });

/** Return the canvas pixel of each grey level. */
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
  const context = shown.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  const grey = new Uint8Array(width * height);
  for (let n = 0; n < grey.length; n += 1) grey[n] = data[4 * n];
  return { grey, width, height, shown, key: null };
}
