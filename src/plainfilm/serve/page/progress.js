// Shows the progress, and exports the worklist.

import { toRows, writeCsv } from "./csv.js";
import { announce, find, make } from "./dom.js";
import { isTemporary } from "./queue.js";

let announced = false;

/** Show how many images are done. */
export function showProgress(items) {
  const failed = items.filter((item) => item.state === "failed");
  const done = failed.length + items.filter((item) => item.state === "done").length;
  const failures = failed.length ? `, ${failed.length} failed` : "";
  find("progress").max = Math.max(1, items.length);
  find("progress").value = done;
  find("progress").hidden = done === items.length;
  find("progress-text").textContent = items.length ? `${done} of ${items.length} done${failures}` : "";
  find("retry").hidden = !failed.some((item) => isTemporary(item.error));
  document.title = done < items.length ? `${done}/${items.length} plainfilm` : "plainfilm";
  const all = items.length > 1 && done === items.length;
  if (all && !announced) announce(`All ${items.length} images are done${failures}`);
  announced = all;
}

/** Save the worklist as CSV. */
export function exportCsv(state) {
  const text = writeCsv(toRows(state.items, state.model, state));
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  make("a", { href: url, download: "plainfilm.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
