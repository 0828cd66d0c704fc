// Builds the page from nodes. No function parses HTML, so file names are always shown as text.

/** Return the element with this id. */
export const find = (id) => document.getElementById(id);

const present = (children) => children.flat().filter((child) => child !== null && child !== undefined);

/** Return a new element; properties that are null, undefined or false are left out. */
export function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...present(children));
  return node;
}

/** Return a new SVG element. */
export function makeSvg(tag, properties = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(properties)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Return a file name with possible line breaks. */
export const breakable = (name) =>
  name.split(/(?<=[_\-.\s])/).flatMap((part) => [part, make("wbr")]);

/** Replace the children of a node. */
export function fill(node, ...children) {
  node.replaceChildren(...present(children));
  return node;
}

/** Return the rows of a definition list from [name, value] pairs. */
export const definitions = (rows) =>
  rows.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]);

/** Announce a sentence to screen readers; a repeated sentence is announced again. */
export function announce(sentence) {
  const region = find("announcement");
  region.textContent = region.textContent === sentence ? `${sentence}\u00a0` : sentence;
}
