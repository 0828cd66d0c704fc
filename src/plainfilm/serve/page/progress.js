// How far the work is, and the work list as a file.

import { rowsOf, writeCsv } from "./csv.js";
import { find, make, say } from "./dom.js";
import { isTemporary } from "./queue.js";

let told = false; // that all are done; said once, however often this is shown

/** Show how many images are done. */
export function showProgress(items) {
  const failed = items.filter((item) => item.state === "failed");
  const done = failed.length + items.filter((item) => item.state === "read").length;
  const lost = failed.length ? `, ${failed.length} without an answer` : "";
  find("progress").max = Math.max(1, items.length);
  find("progress").value = done;
  find("progress").hidden = done === items.length;
  find("progress-text").textContent = items.length ? `${done} of ${items.length} done${lost}` : "";
  find("again").hidden = !failed.some((item) => isTemporary(item.error));
  document.title = done < items.length ? `${done}/${items.length} plainfilm` : "plainfilm";
  const all = items.length > 1 && done === items.length;
  if (all && !told) say(`All ${items.length} images are done${lost}`);
  told = all;
}

/** Save the work list as CSV. */
export function exportCsv(state) {
  const text = writeCsv(rowsOf(state.items, state.model, state));
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  make("a", { href: url, download: "plainfilm.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
