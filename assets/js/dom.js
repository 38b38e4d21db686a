// Elements without innerHTML: text stays text, whatever a script printed.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
export const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

export function setText(element, text) {
  if (element && element.textContent !== text) element.textContent = text;
}

/** A state's name as it is shown. */
export const shown = (status) => status.replaceAll("_", " ");

export const badge = (status, words, extra = "") =>
  h("span", { class: `badge is-${status} ${extra}`, "data-symbol": words?.[0] ?? "•", title: words?.[1] || null }, shown(status));
