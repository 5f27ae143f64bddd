// Choosing streams: all that there are, searched as one types, and those that are chosen.

import { $, h, number, rate, some } from "./text.js";

export class Picker {
  /** Names as they were chosen, in that order; an alias, or a name that does not exist, may come out of the address. */
  chosen = [];
  maxStreams = Infinity;
  #streams = [];
  #items = new Map();
  #rates = new Map();
  #onChange;

  constructor(onChange) {
    this.#onChange = onChange;
    $("search").addEventListener("input", () => this.#search());
  }

  /** Makes the list, the liveliest first, or just says how lively they are now. */
  fill({ streams, max_streams }) {
    this.maxStreams = max_streams;
    const isNew = streams.length !== this.#streams.length || streams.some(({ name }) => !this.#items.has(name));
    if (isNew) {
      this.#streams = [...streams].sort((a, b) => (b.rate ?? -1) - (a.rate ?? -1) || (a.name < b.name ? -1 : 1));
      this.#items = new Map(this.#streams.map((stream, index) => [stream.name, this.#item(stream, index)]));
      $("streams").replaceChildren(...[...this.#items.values()].map(({ row }) => row));
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
    const box = h("input", { type: "checkbox", id: `stream-${index}` });
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
    const all = some(this.#streams.length, "stream");
    this.say(words.length ? `${number(found)} of ${all}` : all);
  }

  /** Said again only if it is something else: screen readers hear each time. */
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
