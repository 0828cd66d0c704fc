// Building the page out of nodes. Nothing here takes HTML as text: a file name stays a file name.

/** Return the element with this id. */
export const find = (id) => document.getElementById(id);

/** Return a new element; properties that are null, undefined or false are left out. */
export function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/** Return a new SVG element. */
export function draw(tag, properties = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(properties)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Return a file name that may break where people read it in parts. */
export const breakable = (name) =>
  name.split(/(?<=[_\-.\s])/).flatMap((part) => [part, make("wbr")]);

/** Put these children in place of those that a node has. */
export function fill(node, ...children) {
  node.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/** Tell those who listen; the same sentence twice is read twice. */
export function say(sentence) {
  const region = find("said");
  region.textContent = region.textContent === sentence ? `${sentence}\u00a0` : sentence;
}
