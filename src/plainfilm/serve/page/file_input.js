// Receives images that the user drops (also folders), chooses or pastes.

/** Call `onFiles` with the File objects of each drop, choice or paste. */
export function listenForFiles({ picker, overlay, onFiles }) {
  picker.addEventListener("change", () => {
    onFiles([...picker.files]);
    picker.value = ""; // so that the same file can be chosen again
  });
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    onFiles(files);
  });
  listenForDrops(overlay, onFiles);
}

function listenForDrops(overlay, onFiles) {
  let depth = 0; // dragenter and dragleave are sent for every element below the pointer
  const listen = (type, handle) => document.addEventListener(type, (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault(); // otherwise the browser would open the file
    handle(event);
    overlay.hidden = depth <= 0;
  });
  listen("dragenter", () => (depth += 1));
  listen("dragleave", () => (depth -= 1));
  listen("dragover", (event) => (event.dataTransfer.dropEffect = "copy"));
  listen("drop", async (event) => {
    depth = 0;
    onFiles(await filesOf(event.dataTransfer));
  });
}

async function filesOf(transfer) {
  // Read the entries before the first await: the transfer is empty afterwards.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.() ?? null);
  const files = [...transfer.files];
  if (!entries.some((entry) => entry?.isDirectory)) return files;
  const found = [];
  for (const entry of entries) if (entry) await collect(entry, found);
  return found;
}

async function collect(entry, found) {
  if (entry.isFile) {
    found.push(await new Promise((done, fail) => entry.file(done, fail)));
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    // A reader returns at most a hundred entries at a time, and an empty list at the end.
    const some = await new Promise((done, fail) => reader.readEntries(done, fail));
    if (!some.length) return;
    for (const one of some) if (!one.name.startsWith(".")) await collect(one, found);
  }
}
