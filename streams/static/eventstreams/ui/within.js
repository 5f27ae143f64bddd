// The search within the events that came, the list's further columns, and whether canary events are shown.

import { MOST_COLUMNS, readColumns } from "./columns.js";
import { Filter, REDACTED } from "./events.js";
import { $ } from "./text.js";

const termOf = (field) => new RegExp(`(^|\\s)${field}=("[^"]*"|\\S+)`);

export class Within {
  /** `changed` is called when the search or the columns have changed, for the address. */
  constructor(list, changed) {
    this.list = list;
    this.changed = changed;
    $("filter").addEventListener("input", () => {
      this.#search();
      changed();
    });
    $("redacted").addEventListener("change", ({ target }) => this.#set(REDACTED, target.checked ? "yes" : ""));
    $("columns").addEventListener("change", () => {
      this.#showColumns();
      changed();
    });
    $("canaries").addEventListener("change", ({ target }) => this.showCanaries(target.checked));
    this.showCanaries(this.hasCanaries);
  }

  get pairs() {
    return [
      ["look", $("filter").value.trim()],
      ["columns", this.columns.join(",")],
    ];
  }

  read(query) {
    $("filter").value = query.get("look") ?? "";
    $("columns").value = query.get("columns") ?? "";
    this.#search();
    this.#showColumns();
  }

  get columns() {
    return readColumns($("columns").value).paths;
  }

  addColumn(path) {
    $("columns").value = [...new Set([...this.columns.slice(0, MOST_COLUMNS - 1), path])].join(", ");
    this.#showColumns();
    this.changed();
    $("columns").focus();
  }

  get hasCanaries() {
    return $("canaries").checked;
  }

  showCanaries(isShown) {
    $("canaries").checked = isShown;
    this.list.show({ showsCanaries: isShown });
  }

  onlyThese(field, value) {
    this.#set(field, value);
    $("filter").focus();
  }

  /** Put `field=value` into the search in place of what it has of that field; take it out if the value is "". */
  #set(field, value) {
    const term = value && `${field}=${/\s/.test(value) ? `"${value}"` : value}`;
    const others = $("filter").value.replace(termOf(field), "").trim();
    $("filter").value = [others, term].filter(Boolean).join(" ");
    this.#search();
    this.changed();
  }

  #search() {
    this.list.show({ filter: new Filter($("filter").value) });
    $("redacted").checked = termOf(REDACTED).exec($("filter").value)?.[2] === "yes";
  }

  #showColumns() {
    const { paths, why } = readColumns($("columns").value);
    this.list.columns = paths;
    $("columns-said").textContent = why;
  }
}
