// The page: holds the state, and connects the modules.

import { showAbout, showNotice } from "./about.js";
import { Problem, onUnauthorised, predict, readBundles, readModel } from "./api.js";
import { linkDocument } from "./documents.js";
import { announce, fill, find, make } from "./dom.js";
import { listenForFiles } from "./file_input.js";
import { ImageCache } from "./image_cache.js";
import { mostProbable } from "./interpret.js";
import { listenForKeys, listenOnCanvas } from "./keys.js";
import { exportCsv, showProgress } from "./progress.js";
import { Queue, isTemporary } from "./queue.js";
import { showResult, summarise } from "./result.js";
import { connectSettings, showSettings, useModel } from "./settings.js";
import { Viewer } from "./viewer.js";
import { connectControls } from "./viewer_controls.js";
import { FILTERS, WorkList } from "./worklist.js";

const state = { model: null, point: null, label: null, prevalences: {}, items: [], chosen: null };
const context = () => ({ ...state, chooseLabel });

const cache = new ImageCache();
const list = new WorkList(choose, context, onListPainted);
const queue = new Queue(analyse, onItemChange);
let showView = () => {};
const viewer = new Viewer(find("canvas"), (view) => showView(view));
showView = connectControls(viewer, { onHeatMap: () => showPictures() });

// Predictions

/** Predict on one item; request the pictures too if it is the chosen one. */
async function analyse(item, signal) {
  const isChosen = item === state.chosen;
  const label = isChosen ? heatMapLabel(item) : null;
  const include = isChosen ? ["seen", "original", "heatmap"] : [];
  try {
    const answer = await predict(item.file, { bundle: state.model.bundle.name, include, label, signal });
    const [result] = answer.predictions;
    if (result.reason && !result.rejected) {
      throw Object.assign(new Problem(422, result.reason, result.problem), { sha256: result.sha256 });
    }
    if (answer.bundle.id !== state.model.bundle.id) await reloadModel();
    if (isChosen) await cache.store(item, result, label ?? (result.rejected ? null : mostProbable(result)));
    return result;
  } catch (error) {
    if (error.code === "no-such-label") await reloadModel(); // the label is of the previous bundle
    throw error;
  }
}

/** Return the label of the heat map; null lets the service choose the most probable one. */
function heatMapLabel(item) {
  if (state.model.task.kind !== "multiclass") return state.label;
  return item.result && !item.result.rejected ? mostProbable(item.result) : null;
}

function onItemChange(item) {
  list.refreshSoon();
  if (item !== state.chosen) return;
  showResult(item, context());
  showPictures();
  if (item.state === "done" || item.state === "failed") announce(summarise(item, context()));
}

// Adding and clearing images

const early = []; // files that were added before the model was loaded

function addFiles(files) {
  if (!state.model) early.push(...files);
  if (!files.length || !state.model) return;
  const items = files.map((file) => ({ file, name: file.name || "pasted image", state: "waiting", result: null, error: null }));
  state.items.push(...items);
  announce(items.length === 1 ? `${items[0].name} added` : `${items.length} images added`);
  list.setItems(state.items);
  updateStage();
  if (!state.chosen || items.length === 1) choose(items[0]);
  queue.add(items);
  if (state.chosen) queue.prefer(state.chosen);
}

function clear() {
  queue.clear();
  cache.clear();
  viewer.clear();
  Object.assign(state, { items: [], chosen: null });
  list.setItems(state.items);
  for (const id of ["result-title", "warnings", "prediction", "reliability", "metadata", "radiograph-status"]) {
    fill(find(id));
  }
  find("canvas").setAttribute("aria-label", "No image");
  updateStage();
  announce("All images were removed");
}

/** Set the stage for the style sheet: no image, one image, or several. */
function updateStage() {
  const number = state.items.length;
  document.body.dataset.stage = number === 0 ? "start" : number === 1 ? "one" : "many";
}

// The chosen image

function choose(item, { focus = false } = {}) {
  if (item !== state.chosen) {
    state.chosen = item;
    viewer.clear();
    queue.prefer(item);
    showResult(item, context());
    showPictures();
    if (item.result || item.error) announce(summarise(item, context()));
  }
  list.mark(item, { focus });
}

function chooseNeighbour(step) {
  const next = list.neighbour(step);
  if (next) choose(next);
}

/** Show the pictures of the chosen image, and request missing ones. */
async function showPictures() {
  const item = state.chosen;
  if (!item) return;
  const status = find("radiograph-status");
  status.textContent = { waiting: "Waiting\u2026", running: "Being analysed\u2026", failed: "No image" }[item.state] ?? "";
  describeCanvas(item);
  if (!item.result) return;
  const label = heatMapLabel(item);
  if (!cache.get(item)) status.textContent = "Loading\u2026";
  try {
    const pictures = await cache.fetch(item, state.model.bundle.name, label);
    if (pictures && item === state.chosen) draw(item, pictures, label);
  } catch (error) {
    if (error.name !== "AbortError" && item === state.chosen) status.textContent = `No image: ${error.message}`;
  }
}

function draw(item, pictures, label) {
  find("radiograph-status").textContent = "";
  if (viewer.source !== pictures) {
    viewer.show(pictures, { geometry: state.model.pixels.geometry, trimmed: item.result.metadata.trimmed > 0 });
  }
  viewer.setHeatMap(pictures.heat.get(label) ?? null);
  find("heat-label").textContent = item.result.rejected ? "(here it shows nothing, because the image is rejected) " : `for ${label} `;
}

function describeCanvas(item) {
  const name = item.result ? `Radiograph ${item.name}` : `${item.name}, no image`;
  find("canvas").setAttribute("aria-label", `${name}. Use the arrow keys to pan, plus and minus to zoom.`);
}

// Settings

function chooseLabel(label) {
  state.label = label;
  showSettings(state);
  onSettingsChange();
  showPictures();
}

function onSettingsChange() {
  list.refresh();
  if (!state.chosen) return;
  showResult(state.chosen, context());
  if (state.chosen.result) announce(summarise(state.chosen, context()));
}

// The model

async function loadBundle(name) {
  const model = await readModel(name);
  useModel(state, model);
  showServiceError(null);
  showNotice(model.notice);
  showAbout(find("about-body"), model);
  linkDocument(find("report"), model.report, "Evaluation report");
  linkDocument(find("card"), model.card, "Model card");
}

/** Predict on all images again, with another bundle. */
function analyseAll() {
  queue.clear();
  cache.clear();
  viewer.clear();
  for (const item of state.items) item.result = null;
  queue.add([...state.items]);
  if (state.chosen) queue.prefer(state.chosen);
  list.refresh();
}

let reloading = null;

/** Load the model again after its bundle was replaced; concurrent calls share one reload. */
function reloadModel() {
  reloading ??= reload().catch(showServiceError).finally(() => {
    reloading = null;
  });
  return reloading;
}

async function reload() {
  const before = state.model.bundle.id;
  await loadBundle(state.model.bundle.name);
  if (state.model.bundle.id === before) return;
  announce("The bundle was replaced; all images are analysed again");
  analyseAll();
}

function onListPainted() {
  showProgress(state.items);
  find("previous").disabled = !list.neighbour(-1);
  find("next").disabled = !list.neighbour(1);
}

function showServiceError(error) {
  find("service-error").hidden = !error;
  find("service-error").textContent = error ? `The request failed: ${error.message}.` : "";
}

// Dialogs

/** Ask the user for the token; resolves when one is entered. */
function enterToken(wrong) {
  const dialog = find("token");
  find("token-error").textContent = wrong ? "The token is not valid." : "";
  return new Promise((done) => {
    dialog.onclose = () => {
      const text = find("token-text").value.trim();
      find("token-text").value = "";
      if (text) done(text);
      else dialog.showModal(); // the browser closes the dialog on Escape in any case
    };
    dialog.showModal();
  });
}

// Start

function listen() {
  const pick = () => find("files").click();
  const openHelp = () => find("help").showModal();
  listenForFiles({ picker: find("files"), overlay: find("drop-overlay"), onFiles: addFiles });
  const clicks = {
    pick, add: pick, export: () => exportCsv(state), "help-open": openHelp,
    clear: () => {
      clear();
      find("pick").focus(); // the focused button is no longer visible
    },
    previous: () => chooseNeighbour(-1), next: () => chooseNeighbour(1),
    retry: () => queue.add(state.items.filter(({ error }) => error && isTemporary(error))),
  };
  for (const [id, action] of Object.entries(clicks)) find(id).addEventListener("click", action);
  connectSettings(state, { onChange: onSettingsChange, onLabel: chooseLabel });
  find("filter").addEventListener("change", (event) => list.setFilter(event.target.value));
  fill(find("filter"), Object.entries(FILTERS).map(([value, [name]]) => make("option", { value }, name)));
  find("bundle").addEventListener("change", (event) =>
    loadBundle(event.target.value).then(analyseAll).catch(showServiceError));
  find("token").addEventListener("cancel", (event) => {
    find("token-text").value = "";
    event.preventDefault();
  });
  // A browser may keep a page that was left for its back button; it must contain no image.
  window.addEventListener("pagehide", clear);
  listenOnCanvas(find("canvas"), viewer);
  listenForKeys({
    n: () => chooseNeighbour(1), p: () => chooseNeighbour(-1), u: pick, "?": openHelp,
    e: () => state.items.length && exportCsv(state),
    m: () => viewer.set({ show: viewer.view.show === "seen" ? "original" : "seen" }),
    w: () => viewer.set({ mode: viewer.view.mode === "pan" ? "window" : "pan" }),
    h: () => find("heat").click(), i: () => find("invert").click(), 0: () => viewer.reset(),
    "+": () => viewer.zoomBy(1.25), "=": () => viewer.zoomBy(1.25), "-": () => viewer.zoomBy(0.8),
  }, () => find("keys-on").checked);
}

async function start() {
  onUnauthorised(enterToken);
  listen();
  const bundles = await readBundles();
  const first = bundles.find((one) => one.default) ?? bundles[0];
  fill(find("bundle"), bundles.map(({ name }) => make("option", { value: name }, name)));
  find("bundle").value = first.name;
  find("bundle-choice").hidden = bundles.length < 2;
  await loadBundle(first.name);
  document.body.dataset.ready = "true";
  addFiles(early.splice(0));
}

start().catch(showServiceError);
