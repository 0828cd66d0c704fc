// Opens the evaluation report and the model card.

import { call, needsToken } from "./api.js";
import { announce, find } from "./dom.js";

/** Return a path of the service relative to this page, which may be below another path. */
export const relativePath = (path) => path.replace(/^\//, "");

/**
 * Make a link open a document. Without a token it is an ordinary link to a new page. With a token
 * the document is fetched and shown in a dialog, since a browser sends no token with a link.
 */
export function linkDocument(link, path, title) {
  link.hidden = !path;
  if (!path) return;
  link.href = relativePath(path);
  link.onclick = (event) => {
    if (!needsToken()) return;
    event.preventDefault();
    open(path, title).catch((error) => announce(`${title}: ${error.message}`));
  };
}

async function open(path, title) {
  const text = await (await call(relativePath(path))).text();
  const dialog = find("document");
  const frame = document.createElement("iframe");
  frame.title = title;
  // Without allow-scripts no script runs; with the same origin, this page can add the styles.
  frame.sandbox = "allow-same-origin";
  frame.srcdoc = "<!doctype html><title></title>";
  frame.addEventListener("load", () => write(frame, text), { once: true });
  find("document-title").textContent = title;
  find("document-body").replaceChildren(frame);
  dialog.showModal();
  dialog.addEventListener("close", () => find("document-body").replaceChildren(), { once: true });
}

/**
 * Write a document into a frame. The frame inherits the policy of this page, which forbids inline
 * styles: style elements become a style sheet that a script adds, and style attributes its rules.
 */
function write(frame, text) {
  const rules = [];
  const inert = text
    .replace(/<style[^>]*>([\s\S]*?)<\/style>/g, (_, css) => (rules.push(css), ""))
    .replace(/(<[a-zA-Z][^<>]*?)\sstyle="/g, '$1 data-style="');
  const page = new DOMParser().parseFromString(inert, "text/html");
  const inline = new Set([...page.querySelectorAll("[data-style]")].map((n) => n.dataset.style));
  const own = [...inline].map((value) => `[data-style="${CSS.escape(value)}"]{${value}}`);
  for (const node of page.querySelectorAll("script, link, meta")) node.remove();
  const target = frame.contentDocument;
  target.documentElement.lang = page.documentElement.lang || "en";
  target.title = page.title;
  target.body.replaceChildren(...[...page.body.childNodes].map((n) => target.importNode(n, true)));
  const sheet = new frame.contentWindow.CSSStyleSheet();
  // Inline rules come last and so override the sheet, except rules of a dark page (!important).
  sheet.replaceSync([...rules.map((r) => r.replaceAll("[style*=", "[data-style*=")), ...own].join("\n"));
  target.adoptedStyleSheets = [sheet];
  for (const link of target.querySelectorAll('a[href^="#"]')) {
    link.addEventListener("click", (event) => {
      event.preventDefault(); // the frame has no address for an anchor
      target.getElementById(link.getAttribute("href").slice(1))?.scrollIntoView();
    });
  }
}
