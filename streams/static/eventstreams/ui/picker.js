// Choosing streams: the list of all, searched as one types, and those that are chosen.
//
// The list is one stop of the Tab key, however long it is; arrow keys move within it.

import { $, h, number, rate, some } from "./text.js";

const RECENT_CHANGES = /^(mediawiki\.)?recentchange$/;
const PAGE_ROWS = 8;

export class Picker {
  /** Names as they were chosen, in that order; the address may bring an alias, or a name that does not exist. */
  chosen = [];
  maxStreams = Infinity;
  #streams = [];
  #items = new Map();
  #rates = new Map();
  #current = null;
  #onChange;

  constructor(onChange) {
    this.#onChange = onChange;
    $("search").addEventListener("input", () => this.#search());
    $("search").addEventListener("keydown", (event) => {
      if (event.key !== "ArrowDown") return;
      event.preventDefault();
      this.#current?.focus();
    });
    $("streams").addEventListener("keydown", (event) => this.#move(event));
    $("streams").addEventListener("focusin", ({ target }) => this.#stopAt(target));
  }

  get isFilled() {
    return this.#streams.length > 0;
  }

  /** Why nothing can be watched, "" if it can. */
  get obstacle() {
    if (!this.chosen.length) return "Choose a stream first.";
    return this.chosen.length > this.maxStreams ? `Choose at most ${this.maxStreams} streams.` : "";
  }

  /** Recent changes of the wikis, or where there is no such stream the liveliest; undefined before the list is there. */
  get forNewcomers() {
    return this.#streams.find(hasRecentChanges) ?? this.#streams[0];
  }

  /** Make the list, the liveliest first, or just show how lively they are now. */
  fill({ streams, max_streams }) {
    this.maxStreams = max_streams;
    const isNew = streams.length !== this.#streams.length || streams.some(({ name }) => !this.#items.has(name));
    if (isNew) {
      this.#streams = [...streams].sort((a, b) => (b.rate ?? -1) - (a.rate ?? -1) || (a.name < b.name ? -1 : 1));
      this.#items = new Map(this.#streams.map((stream, index) => [stream.name, this.#item(stream, index)]));
      $("streams").replaceChildren(...[...this.#items.values()].map(({ row }) => row));
      const known = this.#streams.some(hasRecentChanges);
      $("watch").textContent = known ? "Watch recent changes" : "Watch the busiest stream";
      $("watch").disabled = !streams.length;
    }
    this.#search();
    // While Kafka stands still nothing is known, or all is silent: what was usual before is kept.
    for (const { name, rate: now } of streams) if (now) this.#rates.set(name, now);
    for (const stream of streams) this.#items.get(stream.name).speed.textContent = rate(stream.rate);
    this.#show();
  }

  choose(names) {
    this.chosen = [...new Set(names)];
    this.#show();
  }

  /** Events per second of the chosen streams together, as far as it is known. */
  get rate() {
    const listed = this.chosen.map((name) => this.#listed(name));
    return listed.reduce((sum, name) => sum + (this.#rates.get(name) ?? 0), 0);
  }

  /** The name that the list has for a name or an alias. */
  #listed(name) {
    return this.#streams.find((stream) => stream.name === name || stream.aliases.includes(name))?.name ?? name;
  }

  #item({ name, aliases, description, topics }, index) {
    const box = h("input", { type: "checkbox", id: `stream-${index}`, tabIndex: -1 });
    box.setAttribute("aria-labelledby", `name-${index}`);
    box.setAttribute("aria-describedby", `speed-${index} about-${index}`);
    box.addEventListener("change", () => {
      const others = this.chosen.filter((one) => this.#listed(one) !== name);
      this.choose(box.checked ? [...others, name] : others);
      this.#onChange();
    });
    const speed = h("span", { className: "speed", id: `speed-${index}` });
    const also = aliases.length ? `also ${aliases.join(", ")}` : "";
    const row = h(
      "li",
      {},
      h(
        "label",
        { className: "stream", htmlFor: box.id },
        box,
        h("span", { className: "name", id: `name-${index}` }, name),
        speed,
        h("span", { className: "about", id: `about-${index}` }, description),
        h("span", { className: "topics" }, [topics.join(", "), also].filter(Boolean).join(" · ")),
      ),
    );
    const haystack = [name, ...aliases, description, ...topics].join("\n").toLowerCase();
    return { row, box, speed, haystack };
  }

  #search() {
    const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    for (const { row, haystack } of this.#items.values()) {
      row.hidden = !words.every((word) => haystack.includes(word));
      found += !row.hidden;
    }
    this.#stopAt(this.#current && !this.#current.closest("li").hidden ? this.#current : this.#shown()[0]);
    const all = some(this.#streams.length, "stream");
    this.say(words.length ? `${number(found)} of ${all}` : all);
  }

  #shown() {
    return [...this.#items.values()].filter(({ row }) => !row.hidden).map(({ box }) => box);
  }

  #stopAt(box) {
    if (this.#current) this.#current.tabIndex = -1;
    this.#current = box ?? null;
    if (box) box.tabIndex = 0;
  }

  #move(event) {
    const shown = this.#shown();
    const at = shown.indexOf(event.target);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: Infinity, PageDown: at + PAGE_ROWS, PageUp: at - PAGE_ROWS };
    if (at < 0 || !(event.key in to)) return;
    event.preventDefault();
    shown[Math.min(shown.length - 1, Math.max(0, to[event.key]))].focus();
  }

  /** Said again only if it changed: screen readers hear each time. */
  say(text) {
    if ($("found").textContent !== text) $("found").textContent = text;
  }

  #show() {
    const listed = this.chosen.map((name) => this.#listed(name));
    for (const [name, { box, row }] of this.#items) {
      box.checked = listed.includes(name);
      row.classList.toggle("is-chosen", box.checked);
    }
    const chips = this.chosen.map((name) => {
      const remove = h("button", { type: "button", className: "chip", ariaLabel: `Remove ${name}` }, name);
      remove.addEventListener("click", () => {
        this.choose(this.chosen.filter((one) => one !== name));
        this.#onChange();
        $("search").focus();
      });
      return h("li", {}, remove);
    });
    $("chosen").replaceChildren(...chips);
    $("choice-summary").textContent = this.chosen.length ? `${number(this.chosen.length)} chosen` : "none chosen";
  }
}

const hasRecentChanges = ({ name, aliases }) => [name, ...aliases].some((one) => RECENT_CHANGES.test(one));
