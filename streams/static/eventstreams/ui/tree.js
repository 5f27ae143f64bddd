// An event as a JSON tree: highlighted, foldable, made as far as it is unfolded.

import { h } from "./text.js";

const MANY = 200;
/** Member names that a path of the service's filter can have. */
const NAME = /^[\w$@-]+$/;
const LONGEST = 500;

/** A number as it was written: JSON.parse would turn 1.0 into 1 and round large integers. */
class Written {
  constructor(source) {
    this.source = source;
  }

  toString() {
    return this.source;
  }
}

function keepNumbers(key, value, context) {
  return typeof value === "number" && context?.source !== undefined ? new Written(context.source) : value;
}

/**
 * The tree of a JSON text. `onValue(path, value)` is called when somebody wants only events that have a value there,
 * `onColumn(path)` when the list is to have it as a column.
 */
export function tree(text, onValue, onColumn) {
  return h("div", { className: "tree" }, new Tree(onValue, onColumn).node(null, JSON.parse(text, keepNumbers), [], true));
}

class Tree {
  #onValue;
  #onColumn;

  constructor(onValue, onColumn) {
    this.#onValue = onValue;
    this.#onColumn = onColumn;
  }

  /** `path` is that of the value; elements of an array have the array's. */
  node(key, value, path, isOpen = false) {
    const name = key === null ? [] : [h("span", { className: "key" }, key), ": "];
    if (typeof value !== "object" || value === null || value instanceof Written) {
      return h("div", { className: "leaf" }, ...name, leaf(value), ...this.#only(path, value));
    }
    const entries = Object.entries(value);
    const [open, close] = Array.isArray(value) ? "[]" : "{}";
    if (!entries.length) return h("div", { className: "leaf" }, ...name, open + close);
    const size = h("span", { className: "size" }, `${open} ${entries.length} ${close}`);
    const fold = h("details", {}, h("summary", {}, ...name, size));
    const below = Array.isArray(value) ? () => path : (key) => [...path, key];
    const fill = () => {
      if (fold.open && fold.childElementCount === 1) fold.append(this.#children(entries, below));
    };
    fold.addEventListener("toggle", fill);
    fold.open = isOpen;
    fill();
    return fold;
  }

  #children(entries, below, start = 0) {
    const part = h("div", { className: "children" });
    for (const [key, value] of entries.slice(start, start + MANY)) {
      part.append(this.node(key, value, below(key)));
    }
    const left = entries.length - start - MANY;
    if (left > 0) {
      const more = h("button", { type: "button" }, `${left} more`);
      more.addEventListener("click", () => more.replaceWith(this.#children(entries, below, start + MANY)));
      part.append(more);
    }
    return part;
  }

  #only(names, value) {
    const text = String(value);
    const path = names.join(".");
    if (!this.#onValue || !names.length || !names.every((name) => NAME.test(name))) return [];
    const column = h("button", { type: "button", className: "only", title: "Show this field as a column" }, "column");
    column.ariaLabel = `Show ${path} as a column`;
    column.addEventListener("click", () => this.#onColumn(path));
    if (text.length > LONGEST || /[\r\n]/.test(text)) return [" ", column];
    const button = h("button", { type: "button", className: "only", title: "Filter by this value" }, "only");
    button.ariaLabel = value === null ? `Only events without ${path}` : `Only ${path}=${text}`;
    button.addEventListener("click", () => this.#onValue(path, value));
    return [" ", button, " ", column];
  }
}

function leaf(value) {
  if (value instanceof Written) return h("span", { className: "number" }, value.source);
  if (typeof value !== "string") return h("span", { className: "constant" }, String(value));
  const text = h("bdi", { className: "string" }, JSON.stringify(value));
  if (!/^https?:\/\//.test(value)) return text;
  return h("a", { href: value, target: "_blank", rel: "noopener noreferrer" }, text);
}
