// An event as a JSON tree: highlighted, foldable, made as far as it is unfolded.

import { h } from "./text.js";

const MANY = 200;

/** A number as it was written: JSON.parse would turn 1.0 into 1 and round large integers. */
class Written {
  constructor(source) {
    this.source = source;
  }
}

function keepNumbers(key, value, context) {
  return typeof value === "number" && context?.source !== undefined ? new Written(context.source) : value;
}

/** The tree of a JSON text. */
export function tree(text) {
  return h("div", { className: "tree" }, node(null, JSON.parse(text, keepNumbers), true));
}

function node(key, value, isOpen = false) {
  const name = key === null ? [] : [h("span", { className: "key" }, key), ": "];
  if (typeof value !== "object" || value === null || value instanceof Written) {
    return h("div", { className: "leaf" }, ...name, leaf(value));
  }
  const entries = Object.entries(value);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  if (!entries.length) return h("div", { className: "leaf" }, ...name, open + close);
  const size = h("span", { className: "size" }, `${open} ${entries.length} ${close}`);
  const fold = h("details", {}, h("summary", {}, ...name, size));
  const fill = () => {
    if (fold.open && fold.childElementCount === 1) fold.append(children(entries));
  };
  fold.addEventListener("toggle", fill);
  fold.open = isOpen;
  fill();
  return fold;
}

function children(entries, start = 0) {
  const part = h("div", { className: "children" });
  for (const [key, value] of entries.slice(start, start + MANY)) {
    part.append(node(key, value));
  }
  const left = entries.length - start - MANY;
  if (left > 0) {
    const more = h("button", { type: "button" }, `${left} more`);
    more.addEventListener("click", () => more.replaceWith(children(entries, start + MANY)));
    part.append(more);
  }
  return part;
}

function leaf(value) {
  if (value instanceof Written) return h("span", { className: "number" }, value.source);
  if (typeof value !== "string") return h("span", { className: "constant" }, String(value));
  const text = h("bdi", { className: "string" }, JSON.stringify(value));
  if (!/^https?:\/\//.test(value)) return text;
  return h("a", { href: value, target: "_blank", rel: "noopener noreferrer" }, text);
}
