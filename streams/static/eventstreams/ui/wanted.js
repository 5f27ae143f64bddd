// Which events the server sends: a form for the filter and the end (docs/wire.md, "Choosing events").

import { namespaceNames, toName, toNumber } from "./namespaces.js";
import { $, h, isoSeconds, number } from "./text.js";

const LISTS = ["wiki", "domain", "type", "namespace"];
const SINGLES = ["title", "user"];
/** Of titles and names, which may have commas; no title and no name has this. */
const BETWEEN = "|";
/** Chosen from a list; an address may bring what is not in it. */
const CHOICES = ["bot", "minor", "patrolled", "canary"];
/** Fields that are folded away. */
const MORE = ["domain", "minor", "patrolled", "canary", "where", "limit"];
const SEEN = 300;

const FIELDS = {
  "meta.domain": "domain",
  server_name: "domain",
  wiki: "wiki",
  wiki_id: "wiki",
  database: "wiki",
  type: "type",
  page_change_kind: "type",
  namespace: "namespace",
  "page.namespace_id": "namespace",
  page_namespace: "namespace",
  title: "title",
  "page.page_title": "title",
  page_title: "title",
  user: "user",
  "performer.user_text": "user",
  bot: "bot",
  "performer.is_bot": "bot",
  "performer.user_is_bot": "bot",
  minor: "minor",
  "revision.is_minor_edit": "minor",
  rev_minor_edit: "minor",
  patrolled: "patrolled",
};
const PLAIN = {
  wiki: /^[^\s,!=][^\s,]*$/,
  domain: /^(?!canary$)[\w-][\w.-]*$/,
  type: /^[^\s,!=][^\s,]*$/,
  namespace: /^-?\d+$/,
  title: /^[^\s!=|](?!.*\/\*$)[^|]*$/,
  user: /^[^\s!=|][^|]*$/,
  bot: /^(true|false)$/,
  minor: /^(true|false)$/,
  patrolled: /^(true|false)$/,
};

export class Wanted {
  #onChange;
  #others = [];
  #seen = { wiki: new Set(), domain: new Set(), type: new Set() };

  /** `onChange()` is called when the form says something else; `onLastHour()` when the last hour alone is wanted. */
  constructor(onChange, onLastHour) {
    this.#onChange = onChange;
    $("want-form").addEventListener("submit", (event) => event.preventDefault());
    $("want-form").addEventListener("change", () => this.#changed());
    $("want-form").addEventListener("focusin", () => this.#suggest());
    $("want-none").addEventListener("click", () => {
      this.read(new URLSearchParams());
      this.#onChange();
      $("want-wiki").focus();
    });
    $("last-hour").addEventListener("click", () => {
      $("want-end").value = "now";
      this.#changed(onLastHour);
    });
    $("namespaces").replaceChildren(...namespaceNames.map((name) => h("option", { value: name })));
  }

  /** What is asked for as pairs of a parameter and a value, each once; in the address, `until` may be `now`. */
  get pairs() {
    return [...this.filter, ["until", this.#until], ["limit", $("want-limit").value]].filter(([, value]) => value);
  }

  /** The same as the service takes it. */
  get parameters() {
    return this.pairs.map(([name, value]) => [name, value === "now" && name === "until" ? endNow() : value]);
  }

  /** The pairs that are a filter. */
  get filter() {
    const lists = LISTS.map((name) => [name, this.#list(name).join(",")]);
    const singles = SINGLES.flatMap((name) => split(`want-${name}`, BETWEEN).map((value) => [name, value]));
    const where = split("want-where", "\n").map((value) => ["where", value]);
    const choices = CHOICES.map((name) => [name, $(`want-${name}`).value]);
    return [...lists, ...singles, ...choices, ...this.#others, ...where].filter(([, value]) => value);
  }

  read(query) {
    for (const name of LISTS) {
      const values = query.getAll(name).flatMap((text) => text.split(",").filter(Boolean));
      $(`want-${name}`).value = (name === "namespace" ? values.map(toName) : values).join(", ");
    }
    for (const name of SINGLES) $(`want-${name}`).value = query.getAll(name).join(` ${BETWEEN} `);
    this.#others = [];
    for (const name of CHOICES) {
      const values = query.getAll(name);
      const known = [...$(`want-${name}`).options].map(({ value }) => value);
      $(`want-${name}`).value = values.length === 1 && known.includes(values[0]) ? values[0] : "";
      if (values[0] !== $(`want-${name}`).value) this.#others.push(...values.map((value) => [name, value]));
    }
    $("want-where").value = query.getAll("where").join("\n");
    const until = query.get("until") ?? "";
    const at = /^\d+$/.test(until) ? Number(until) : Date.parse(until);
    $("want-end").value = until === "now" ? "now" : until ? "date" : "";
    if (!Number.isNaN(at)) $("want-until").value = new Date(at).toISOString().replace(/(:00)?\.000Z$|Z$/, "");
    $("want-limit").value = query.get("limit") ?? "";
    const isMoreUsed = MORE.some((name) => $(`want-${name}`).value) || until;
    if (isMoreUsed) $("want-more").open = true;
    this.#showEnd();
  }

  /** Whether nothing but canary events is asked for. */
  get isCanariesOnly() {
    return $("want-canary").value === "only";
  }

  /** When the end is, in ms; null without one. */
  get untilMs() {
    const until = this.#until;
    return until === "now" ? Date.now() : until ? Date.parse(until) : null;
  }

  /** At most this number of events, null without a limit. */
  get limit() {
    return $("want-limit").value ? Number($("want-limit").value) : null;
  }

  /** Why nothing can be asked for as the form stands, "" if it can. */
  get obstacle() {
    const unknown = split("want-namespace", ",").find((name) => toNumber(name) === null);
    if (unknown) return `There is no namespace named ${unknown}. Choose one from the list, or enter its number.`;
    if ($("want-end").value === "date" && !this.#until) return "Enter the date of the end.";
    return $("want-limit").validity.valid ? "" : "Enter a whole number of events, at least 1.";
  }

  /** Remember what came, to suggest it. */
  saw(event) {
    this.#remember("wiki", event.wiki ?? event.wiki_id ?? event.database);
    this.#remember("domain", event.meta?.domain ?? event.server_name);
    this.#remember("type", event.type ?? event.page_change_kind);
  }

  /** Only events that have this value there, besides what is asked for already; null is to be absent. */
  add(path, value) {
    const name = FIELDS[path];
    const text = String(value);
    if (name && typeof value !== "object" && PLAIN[name].test(text)) {
      $(`want-${name}`).value = name === "namespace" ? toName(text) : text;
      this.#others = this.#others.filter(([other]) => other !== name);
      if (MORE.includes(name)) $("want-more").open = true;
      this.#shownAt(`want-${name}`);
      return;
    }
    const condition = value === null ? `!${path}` : `${path}=${typeof value === "string" ? `"${value}"` : text}`;
    const others = split("want-where", "\n").filter((one) => one !== condition);
    $("want-where").value = [...others, condition].join("\n");
    $("want-more").open = true;
    this.#shownAt("want-where");
  }

  /** `inForce` is what the server said, null before it did. */
  show(inForce) {
    const end = [];
    if (this.#until) end.push(this.#until === "now" ? "until now" : `until ${this.#until}`);
    if ($("want-limit").value) end.push(`at most ${number(Number($("want-limit").value))} events`);
    const asked = this.filter.map((pair) => pair.join("=")).join(" · ");
    const filter = inForce === null ? asked : inForce && `in force: ${readable(inForce)}`;
    const text = [filter || "all events", ...end].join(", ");
    if ($("in-force").textContent !== text) $("in-force").textContent = text;
    $("want-none").hidden = !this.pairs.length;
  }

  get #until() {
    const kind = $("want-end").value;
    return kind === "date" ? $("want-until").value && `${$("want-until").value}Z` : kind;
  }

  #list(name) {
    const values = split(`want-${name}`, ",");
    return name === "namespace" ? values.map((text) => toNumber(text) ?? text) : values;
  }

  #shownAt(id) {
    $("want").open = true;
    this.#changed();
    $(id).focus();
  }

  #changed(then = this.#onChange) {
    this.#showEnd();
    const why = this.obstacle;
    if ($("want-said").textContent !== why) $("want-said").textContent = why;
    then();
  }

  #showEnd() {
    $("want-until").hidden = $("want-end").value !== "date";
  }

  #remember(name, value) {
    const seen = this.#seen[name];
    if (typeof value === "string" && seen.size < SEEN) seen.add(value);
  }

  #suggest() {
    for (const [name, seen] of Object.entries(this.#seen)) {
      const list = $(`${name}s`);
      if (list.childElementCount !== seen.size) {
        list.replaceChildren(...[...seen].sort().map((value) => h("option", { value })));
      }
    }
  }
}

/** The end of this second: what came just now is before it. */
export const endNow = () => isoSeconds(Date.now() + 1000);

const split = (id, between) => $(id).value.split(between).map((text) => text.trim()).filter(Boolean);

/** The canonical text without its percent-encoding. */
function readable(text) {
  try {
    return text.split("&").map(decodeURIComponent).join(" · ");
  } catch {
    return text; // cut short within a character
  }
}
