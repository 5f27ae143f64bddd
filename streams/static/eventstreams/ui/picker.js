// Choosing streams: the list of all, searched as one types, and those that are chosen.
//
// The list is one stop of the Tab key, however long it is; arrow keys move within it.

import { favourites, grouped, toggleFavourite } from "./order.js";
import { $, h, number, rate, some } from "./text.js";

const RECENT_CHANGES = /^(mediawiki\.)?recentchange$/;
const PAGE_ROWS = 8;

export class Picker {
  /** Names as they were chosen, in that order; the address may bring an alias, or a name that does not exist. */
  chosen = [];
  maxStreams = Infinity;
  #all = [];
  #streams = [];
  #groups = [];
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

  /** Make the list, or just show how active the streams are now. */
  fill({ streams, max_streams }) {
    this.maxStreams = max_streams;
    const offered = grouped(streams, this.chosen.map((name) => this.#listed(name, streams)));
    const names = offered.flatMap((group) => group.streams.map(({ name }) => name));
    const isNew = names.length !== this.#items.size || names.some((name) => !this.#items.has(name));
    this.#all = streams;
    if (isNew) {
      this.#make(offered);
      const known = this.#streams.some(hasRecentChanges);
      $("watch").textContent = known ? "Watch recent changes" : "Watch the busiest stream";
      $("watch").disabled = !streams.length;
    }
    this.#search();
    // While Kafka stands still nothing is known, or all is silent: what was usual before is kept.
    for (const { name, rate: now } of streams) if (now) this.#rates.set(name, now);
    for (const stream of streams) {
      const item = this.#items.get(stream.name);
      if (item) item.speed.textContent = rate(stream.rate);
    }
    this.#show();
  }

  #make(groups) {
    this.#current = null;
    this.#streams = groups.flatMap(({ streams }) => streams);
    this.#items = new Map();
    this.#groups = groups.map(({ name, streams }, group) => {
      const items = streams.map((stream) => this.#item(stream, this.#items.size, this.#items));
      const heading = h("h3", { id: `group-${group}` }, name, h("small", {}, ` ${number(items.length)}`));
      const rows = h("ul", {}, ...items.map(({ row }) => row));
      rows.setAttribute("aria-labelledby", heading.id);
      return { box: h("div", {}, ...(groups.length > 1 ? [heading] : []), rows), items };
    });
    $("streams").replaceChildren(...this.#groups.map(({ box }) => box));
  }

  /** A favourite moves to its group; the focus stays with it. */
  #toggle(name) {
    const hadFocus = $("streams").contains(document.activeElement);
    toggleFavourite(name);
    this.#make(grouped(this.#all, this.chosen.map((one) => this.#listed(one))));
    for (const stream of this.#streams) this.#items.get(stream.name).speed.textContent = rate(stream.rate);
    this.#show();
    this.#search();
    if (hadFocus) this.#items.get(name).box.focus();
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
  #listed(name, streams = this.#all) {
    return streams.find((stream) => stream.name === name || stream.aliases.includes(name))?.name ?? name;
  }

  #item({ name, aliases, description, topics }, index, items) {
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
    const isStarred = favourites().includes(name);
    const star = h("button", { type: "button", className: "star", tabIndex: -1, ariaPressed: String(isStarred) }, isStarred ? "★" : "☆");
    star.ariaLabel = star.title = `Favourite: ${name}`;
    star.addEventListener("click", () => this.#toggle(name));
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
      star,
    );
    const haystack = [name, ...aliases, description, ...topics].join("\n").toLowerCase();
    const item = { row, box, speed, haystack };
    items.set(name, item);
    return item;
  }

  #search() {
    const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    for (const { row, haystack } of this.#items.values()) {
      row.hidden = !words.every((word) => haystack.includes(word));
      found += !row.hidden;
    }
    for (const { box, items } of this.#groups) box.hidden = items.every(({ row }) => row.hidden);
    this.#stopAt(this.#current && !this.#current.closest("li").hidden ? this.#current : this.#shown()[0]);
    const all = some(this.#streams.length, "stream");
    this.say(words.length ? `${number(found)} of ${all}` : all);
  }

  #shown() {
    return [...this.#items.values()].filter(({ row }) => !row.hidden).map(({ box }) => box);
  }

  #stopAt(box) {
    if (box && box.type !== "checkbox") return; // the star of a row
    if (this.#current) this.#current.tabIndex = -1;
    this.#current = box ?? null;
    if (box) box.tabIndex = 0;
  }

  #move(event) {
    const shown = this.#shown();
    const at = shown.indexOf(event.target);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: Infinity, PageDown: at + PAGE_ROWS, PageUp: at - PAGE_ROWS };
    if (at >= 0 && event.key === "f" && !event.ctrlKey && !event.metaKey && !event.altKey) {
      this.#toggle(this.#streams.find(({ name }) => this.#items.get(name).box === event.target).name);
      return;
    }
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
