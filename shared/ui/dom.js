// Making elements. Whatever comes from the API becomes text nodes and attributes, never markup.

const SVG = "http://www.w3.org/2000/svg";

// Attributes that data may reach. Anything that could hold code (on*, style, srcdoc) is refused.
const REFUSED = /^(on|style$|srcdoc$)/i;

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else if (REFUSED.test(name)) throw new Error(`attribute ${name} is not for data`);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(3)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(readable(child)));
  }
  return element;
}

// Controls that turn the direction of writing could make a name look like another one: they are shown.
const TURNING = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

export function readable(value) {
  return String(value).replace(TURNING, (sign) => `\\u${sign.codePointAt(0).toString(16).padStart(4, "0")}`);
}

// An HTML element: el("p", {class: "x", click: handler}, "text", other).
export function el(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

// An element of SVG.
export function draw(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

// Text for those who hear the page only.
export function unseen(text) {
  return el("span", { class: "vh" }, text);
}

// Set a text only where it changes: what does not change is not laid out again.
export function setText(element, value) {
  const text = readable(value);
  if (element.textContent !== text) element.textContent = text;
}

// A table with a caption; rows are lists of cells, the first cell of each its header.
export function table(caption, heads, rows, options = {}) {
  const row = (cells) => el("tr", null, cells.map((cell, at) => (at === 0 ? el("th", { scope: "row" }, cell) : el("td", null, cell))));
  return el(
    "div", { class: "scroll", role: "region", "aria-label": caption, tabindex: "0" },
    el("table", null,
      el("caption", { class: options.hidden ? "vh" : null }, caption),
      el("thead", null, el("tr", null, heads.map((head) => el("th", { scope: "col" }, head)))),
      el("tbody", null, rows.map(row))),
  );
}

// Say something to screen readers, and only what matters: each text replaces the one before.
export function say(text) {
  const place = document.getElementById("say");
  place.textContent = "";
  place.append(document.createTextNode(readable(text)));
}
