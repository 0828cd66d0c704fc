// The page: what there is to look at, and who hears of what.

import { showAbout, showNotice } from "./about.js";
import { Problem, onUnauthorised, predict, readBundles, readModel } from "./api.js";
import { wire as wireControls } from "./controls.js";
import { fill, find, make, say } from "./dom.js";
import { listen as listenForFiles } from "./intake.js";
import { listen as listenForKeys, listenOnPicture } from "./keys.js";
import { mostLikely } from "./meaning.js";
import { offer } from "./papers.js";
import { Pictures } from "./pictures.js";
import { exportCsv, showProgress } from "./progress.js";
import { Queue, isTemporary } from "./queue.js";
import { showReading, tell } from "./reading.js";
import { settle, show as showSettings, wire as wireSettings } from "./settings.js";
import { Viewer } from "./viewer.js";
import { FILTERS, WorkList } from "./worklist.js";

const state = { model: null, point: null, label: null, shares: {}, items: [], chosen: null };
const context = () => ({ ...state, choose: chooseLabel });

const pictures = new Pictures();
const list = new WorkList(choose, context, showProgressAndPlace);
const queue = new Queue(ask, changed);
let showView = () => {};
const viewer = new Viewer(find("canvas"), (view) => showView(view));
showView = wireControls(viewer, { heatWanted: () => showPictures() });

// Asking

/** Ask the service about one item; its pictures come along where it is the one looked at. */
async function ask(item, signal) {
  const looked = item === state.chosen;
  const label = looked ? heatLabel(item) : null;
  const include = looked ? ["seen", "original", "heatmap"] : [];
  try {
    const told = await predict(item.file, { bundle: state.model.bundle.name, include, label, signal });
    const [answer] = told.predictions;
    if (answer.error) throw Object.assign(new Problem(422, answer.error.code, answer.error.title), answer);
    if (told.bundle.id !== state.model.bundle.id) await renewModel();
    if (looked) await pictures.take(item, answer, label ?? mostLikely(answer));
    return answer;
  } catch (error) {
    if (error.code === "no-such-label") await renewModel(); // the label was that of another bundle
    throw error;
  }
}

/** Which label's evidence the heat map shows: null leaves it to the service (the most likely). */
function heatLabel(item) {
  if (state.model.task.kind !== "multiclass") return state.label;
  return item.answer ? mostLikely(item.answer) : null;
}

/** Hear that an item moved on: to be asked, answered, or failed. */
function changed(item) {
  list.changed();
  if (item !== state.chosen) return;
  showReading(item, context());
  showPictures();
  if (item.state === "read" || item.state === "failed") say(tell(item, context()));
}

// Images in, images gone

const early = []; // what came before it was known who answers

function take(files) {
  if (!state.model) early.push(...files);
  if (!files.length || !state.model) return;
  const items = files.map((file) => ({ file, name: file.name || "pasted image", state: "waiting", answer: null, error: null }));
  state.items.push(...items);
  say(items.length === 1 ? `${items[0].name} added` : `${items.length} images added`);
  list.take(state.items);
  stage();
  if (!state.chosen || items.length === 1) choose(items[0]);
  queue.add(items);
  if (state.chosen) queue.prefer(state.chosen);
}

function clear() {
  queue.clear();
  pictures.clear();
  viewer.clear();
  Object.assign(state, { items: [], chosen: null });
  list.take(state.items);
  for (const id of ["reading-title", "flags", "verdict", "worth", "metadata", "film-text"]) fill(find(id));
  find("canvas").setAttribute("aria-label", "No picture");
  stage();
  say("All images are forgotten");
}

/** Tell the style sheet what there is: nothing, one image, or several. */
function stage() {
  const number = state.items.length;
  document.body.dataset.stage = number === 0 ? "start" : number === 1 ? "one" : "many";
}

// Looking at one

function choose(item, { focus = false } = {}) {
  if (item !== state.chosen) {
    state.chosen = item;
    viewer.clear();
    queue.prefer(item);
    showReading(item, context());
    showPictures();
    if (item.answer || item.error) say(tell(item, context()));
  }
  list.mark(item, { focus });
}

function step(by) {
  const next = list.neighbour(by);
  if (next) choose(next);
}

/** Show what is kept of the chosen image, and ask for what is not. */
async function showPictures() {
  const item = state.chosen;
  if (!item) return;
  const text = { waiting: "Waiting", asking: "Being read\u2026", failed: "No picture" }[item.state] ?? "";
  find("film-text").textContent = text;
  if (!item.answer) return describeCanvas(item);
  const label = heatLabel(item);
  if (!pictures.of(item)?.heat.has(label)) find("film-text").textContent = pictures.of(item) ? "" : "Being drawn\u2026";
  try {
    const kept = await pictures.fetch(item, state.model.bundle.name, label);
    if (kept && item === state.chosen) draw(item, kept, label);
  } catch (error) {
    if (error.name !== "AbortError" && item === state.chosen) find("film-text").textContent = `No picture: ${error.message}`;
  }
  return undefined;
}

function draw(item, kept, label) {
  find("film-text").textContent = "";
  if (viewer.source !== kept) {
    viewer.show(kept, { geometry: state.model.pixels.geometry, trimmed: item.answer.metadata.trimmed > 0 });
  }
  viewer.lay(kept.heat.get(label) ?? null);
  find("heat-label").textContent = `for ${label} `;
  describeCanvas(item);
}

function describeCanvas(item) {
  const name = item.answer ? `Radiograph ${item.name}` : `${item.name}, no picture`;
  find("canvas").setAttribute("aria-label", `${name}. Arrow keys move it, plus and minus zoom.`);
}

// Reading it otherwise

function chooseLabel(label) {
  state.label = label;
  showSettings(state);
  reread();
  showPictures();
}

/** Show everything again that depends on operating point, label or prevalence. */
function reread() {
  list.refresh();
  if (!state.chosen) return;
  showReading(state.chosen, context());
  if (state.chosen.answer) say(tell(state.chosen, context()));
}

// The model

async function useBundle(name) {
  const model = await readModel(name);
  settle(state, model);
  showTrouble(null);
  showNotice(model.notice);
  showAbout(find("about-body"), model);
  offer(find("report"), model.report, "Evaluation report");
  offer(find("card"), model.card, "Model card");
}

/** Ask again for everything: what the answers came from is not what answers now. */
function askAll() {
  queue.clear();
  pictures.clear();
  viewer.clear();
  for (const item of state.items) item.answer = null;
  queue.add([...state.items]);
  if (state.chosen) queue.prefer(state.chosen);
  list.refresh();
}

let renewing = null;

/** Find that another bundle answers under the same name; all that ask wait for the one renewal. */
function renewModel() {
  renewing ??= renew().catch(showTrouble).finally(() => {
    renewing = null;
  });
  return renewing;
}

async function renew() {
  const before = state.model.bundle.id;
  await useBundle(state.model.bundle.name);
  if (state.model.bundle.id === before) return;
  say("The bundle was replaced; all images are asked again");
  askAll();
}

function showProgressAndPlace() {
  showProgress(state.items);
  find("previous").disabled = !list.neighbour(-1);
  find("next").disabled = !list.neighbour(1);
}

function showTrouble(error) {
  find("trouble").hidden = !error;
  find("trouble").textContent = error ? `The service gave no answer: ${error.message}.` : "";
}

// Dialogs

/** Ask for the token; resolves when one was entered, and comes back if it is closed without. */
function enterToken(wrong) {
  const dialog = find("token");
  find("token-error").textContent = wrong ? "That token was not accepted." : "";
  return new Promise((done) => {
    dialog.onclose = () => {
      const text = find("token-text").value.trim();
      find("token-text").value = "";
      if (text) done(text);
      else dialog.showModal(); // a browser lets Escape close it, whatever a page says
    };
    dialog.showModal();
  });
}

function openHelp() {
  find("help").showModal();
}

// Start

function listen() {
  const pick = () => find("files").click();
  listenForFiles({ picker: find("files"), curtain: find("curtain"), take });
  const clicks = {
    pick, add: pick, export: () => exportCsv(state), "help-open": openHelp,
    clear: () => {
      clear();
      find("pick").focus(); // the button that had the focus is gone
    },
    previous: () => step(-1), next: () => step(1),
    again: () => queue.add(state.items.filter(({ error }) => error && isTemporary(error))),
  };
  for (const [id, action] of Object.entries(clicks)) find(id).addEventListener("click", action);
  wireSettings(state, { reread, relabelled: chooseLabel });
  find("filter").addEventListener("change", (event) => list.narrow(event.target.value));
  fill(find("filter"), Object.entries(FILTERS).map(([value, [name]]) => make("option", { value }, name)));
  find("bundle").addEventListener("change", (event) =>
    useBundle(event.target.value).then(askAll).catch(showTrouble));
  find("token").addEventListener("cancel", (event) => {
    find("token-text").value = "";
    event.preventDefault();
  });
  // A page that is left may be kept by the browser for the way back; it keeps no image.
  window.addEventListener("pagehide", clear);
  listenOnPicture(find("canvas"), viewer);
  listenForKeys({
    n: () => step(1), p: () => step(-1), u: pick, "?": openHelp,
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
  await useBundle(first.name);
  document.body.dataset.ready = "true";
  take(early.splice(0));
}

start().catch(showTrouble);
