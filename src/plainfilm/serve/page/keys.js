// Keyboard shortcuts. Single keys can be disabled for users of speech input or switches.

/** Listen to keys; `actions` maps a key to its function. */
export function listenForKeys(actions, isEnabled) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (!isEnabled() || document.querySelector("dialog[open]")) return;
    if (event.target.closest?.("input:not([type=range]):not([type=checkbox]), select, textarea")) return;
    const action = actions[event.key] ?? actions[event.key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    action();
  });
}

/** Pan or window the image with the arrow keys. */
export function listenOnCanvas(canvas, viewer) {
  const STEP = 40;
  const moves = {
    ArrowLeft: [STEP, 0], ArrowRight: [-STEP, 0], ArrowUp: [0, STEP], ArrowDown: [0, -STEP],
  };
  canvas.addEventListener("keydown", (event) => {
    const move = moves[event.key];
    if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const { window, level, mode } = viewer.view;
    if (mode === "window") viewer.set({ window: window - move[0] / 5, level: level - move[1] / 10 });
    else viewer.panBy(...move);
  });
}
