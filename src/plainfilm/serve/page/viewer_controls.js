// Connects the controls around the radiograph with the viewer.

import { find } from "./dom.js";

/** Connect the controls; returns a function that shows the viewer's state in them. */
export function connectControls(viewer, { onHeatMap }) {
  const set = (changes) => viewer.set(changes);
  for (const name of ["show", "mode"]) {
    for (const input of document.getElementsByName(name)) {
      input.addEventListener("change", () => set({ [name]: input.value }));
    }
  }
  for (const name of ["window", "level", "opacity"]) {
    find(name).addEventListener("input", (event) => set({ [name]: Number(event.target.value) }));
  }
  const actions = {
    "zoom-in": () => viewer.zoomBy(1.25),
    "zoom-out": () => viewer.zoomBy(0.8),
    reset: () => viewer.reset(),
    invert: () => set({ inverted: !viewer.view.inverted }),
    heat: () => {
      set({ heat: !viewer.view.heat });
      if (viewer.view.heat) onHeatMap();
    },
  };
  for (const [id, action] of Object.entries(actions)) find(id).addEventListener("click", action);
  return (view) => showState(view, viewer);
}

function showState(view, viewer) {
  for (const name of ["show", "mode"]) {
    for (const input of document.getElementsByName(name)) input.checked = input.value === view[name];
  }
  for (const name of ["window", "level", "opacity"]) find(name).value = view[name];
  find("window-value").textContent = Math.round(view.window);
  find("level-value").textContent = Math.round(view.level);
  find("opacity-value").textContent = `${Math.round(view.opacity * 100)} %`;
  find("zoom").textContent = `${Math.round(view.zoom * 100)} %`;
  find("invert").setAttribute("aria-pressed", String(view.inverted));
  find("heat").setAttribute("aria-pressed", String(view.heat));
  find("opacity-label").hidden = find("heat-note").hidden = !view.heat;
  const canvas = find("canvas");
  canvas.dataset.mode = view.mode;
  // One finger scrolls the page unless it can pan or window the image.
  canvas.style.touchAction = view.zoom > 1 || view.mode === "window" ? "none" : "pan-y";
  find("radiograph-note").textContent = view.heat && !viewer.heatMapFits
    ? "The borders of the image were removed: the heat map is shown on the model input only."
    : "";
}
