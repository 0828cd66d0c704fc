// How images come in: dropped (folders, too), picked, or pasted. What comes out are File objects.

/** Hand files to `take` whenever somebody drops, picks or pastes some. */
export function listen({ picker, curtain, take }) {
  picker.addEventListener("change", () => {
    take([...picker.files]);
    picker.value = ""; // so that the same file can be picked again
  });
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    take(files);
  });
  listenForDrops(curtain, take);
}

function listenForDrops(curtain, take) {
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  let depth = 0; // enter and leave come for every element on the way
  const show = (wanted) => {
    depth = wanted ? depth : 0;
    curtain.hidden = !wanted;
  };
  document.addEventListener("dragenter", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    depth += 1;
    show(true);
  });
  document.addEventListener("dragleave", (event) => {
    if (!carriesFiles(event)) return;
    depth -= 1;
    if (depth <= 0) show(false);
  });
  document.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
  });
  document.addEventListener("drop", async (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault(); // else the browser would leave the page and show the file
    show(false);
    take(await filesOf(event.dataTransfer));
  });
}

async function filesOf(transfer) {
  // Entries must be asked for before the first await: the transfer is empty afterwards.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.() ?? null);
  const files = [...transfer.files];
  if (!entries.some((entry) => entry?.isDirectory)) return files;
  const found = [];
  for (const entry of entries) if (entry) await walk(entry, found);
  return found;
}

async function walk(entry, found) {
  if (entry.isFile) {
    found.push(await new Promise((done, fail) => entry.file(done, fail)));
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    // A reader gives at most a hundred at once, and an empty list at the end.
    const some = await new Promise((done, fail) => reader.readEntries(done, fail));
    if (!some.length) return;
    for (const one of some) if (!one.name.startsWith(".")) await walk(one, found);
  }
}
