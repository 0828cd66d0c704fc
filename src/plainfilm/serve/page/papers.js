// The evaluation report and the model card, a click away.

import { call, needsToken } from "./api.js";
import { find, say } from "./dom.js";

/** Return an address of the service as one below this page, wherever that is mounted. */
export const below = (path) => path.replace(/^\//, "");

/**
 * Make a link open a paper. Without a token it is an ordinary link to a page of its own; with one
 * the page must be fetched, for a browser sends no token when it follows a link.
 */
export function offer(link, path, title) {
  link.hidden = !path;
  if (!path) return;
  link.href = below(path);
  link.onclick = (event) => {
    if (!needsToken()) return;
    event.preventDefault();
    open(path, title).catch((error) => say(`${title}: ${error.message}`));
  };
}

async function open(path, title) {
  const text = await (await call(below(path))).text();
  const dialog = find("paper");
  const frame = document.createElement("iframe");
  frame.title = title;
  // Without allow-scripts nothing in it runs; the same origin lets this page write its styles.
  frame.sandbox = "allow-same-origin";
  frame.srcdoc = "<!doctype html><title></title>";
  frame.addEventListener("load", () => write(frame, text), { once: true });
  find("paper-title").textContent = title;
  find("paper-body").replaceChildren(frame);
  dialog.showModal();
  dialog.addEventListener("close", () => find("paper-body").replaceChildren(), { once: true });
}

/**
 * Write a paper into a frame. A frame inherits this page's policy, which forbids styles in the
 * text: so its style elements become style sheets by script, and its style attributes rules.
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
  // What is inline ranks above a sheet, but a dark page's rules (!important) above both.
  sheet.replaceSync([...rules.map((r) => r.replaceAll("[style*=", "[data-style*=")), ...own].join("\n"));
  target.adoptedStyleSheets = [sheet];
  for (const link of target.querySelectorAll('a[href^="#"]')) {
    link.addEventListener("click", (event) => {
      event.preventDefault(); // the frame has no address that an anchor could belong to
      target.getElementById(link.getAttribute("href").slice(1))?.scrollIntoView();
    });
  }
}
