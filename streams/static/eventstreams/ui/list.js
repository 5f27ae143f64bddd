// The events: which are kept, which are shown, and when.

import { valueAt } from "./columns.js";
import { Filter, REDACTED } from "./events.js";
import { linksOf } from "./links.js";
import { $, clock, copy, h, number, short, some } from "./text.js";
import { tree } from "./tree.js";

export const KEPT = 500;
const KEPT_CHARS = 20_000_000;
const FLUSH_MS = 200;
const READING_MS = 2000;
const SCROLLED_PX = 300;

/** The newest items, at most KEPT and about KEPT_CHARS characters. */
class Kept {
  items = [];
  #chars = 0;

  push(item) {
    this.items.push(item);
    this.#chars += item.text.length;
    let drop = 0;
    while (this.items.length - drop > KEPT || (this.#chars > KEPT_CHARS && this.items.length - drop > 1)) {
      this.#chars -= this.items[drop].text.length;
      drop += 1;
    }
    if (drop) this.items.splice(0, drop);
  }
}

/**
 * Keeps the newest KEPT events, and the newest KEPT that match the filter. New ones are shown at most once in a frame of
 * the screen, and not while somebody reads: the list must not move under a pointer.
 */
export class EventList {
  isPaused = false;
  #isOpen = false;
  #list = $("list");
  #head = $("events");
  #news = $("news");
  #all = new Kept();
  #matching = new Kept();
  #filter = new Filter("");
  #showsCanaries = false;
  #waiting = 0;
  #shown = 0;
  #count = 0;
  #frame = 0;
  #timer = 0;
  #lookedAt = 0;
  #readAt = -Infinity;
  #columns = [];
  #onField;
  #onValue;
  #onColumn;

  /**
   * Somebody wants to see only events with a value: `onField(name, value)` among those that came, by a column;
   * `onValue(path, value)` from the server. `onColumn(path)`: a field is to become a column.
   */
  constructor(onField, onValue, onColumn) {
    this.#onField = onField;
    this.#onValue = onValue;
    this.#onColumn = onColumn;
    this.#list.addEventListener("pointermove", ({ pointerType }) => {
      if (pointerType === "mouse") this.#readAt = performance.now();
    });
    this.#news.addEventListener("click", () => {
      this.#flush();
      this.#head.scrollIntoView({ block: "start" });
      this.#head.focus({ preventScroll: true });
    });
  }

  /** Whether events can come: an empty list says so. */
  set isOpen(isOpen) {
    this.#isOpen = isOpen;
    this.#sayNone();
  }

  add(item, event) {
    item.number = this.#count += 1;
    this.#all.push(item);
    if ((item.isCanary && !this.#showsCanaries) || !this.#filter.matches(item, event)) return;
    this.#matching.push(item);
    this.#waiting += 1;
    this.#soon();
  }

  show({ filter = this.#filter, showsCanaries = this.#showsCanaries }) {
    this.#filter = filter;
    this.#showsCanaries = showsCanaries;
    // Those that have matched so far may be older than all that are kept.
    const known = [...new Set([...this.#matching.items, ...this.#all.items])].sort((a, b) => a.number - b.number);
    this.#matching = new Kept();
    for (const item of known) {
      if ((showsCanaries || !item.isCanary) && filter.matches(item)) this.#matching.push(item);
    }
    this.#redraw();
  }

  /** The paths of further columns. */
  set columns(paths) {
    if (paths.join() === this.#columns.join()) return;
    this.#columns = paths;
    // Not a style attribute, which the Content-Security-Policy would block.
    this.#list.parentElement.style.setProperty("--more", paths.map(() => "minmax(0, 9em)").join(" "));
    $("list-head").hidden = !paths.length;
    for (const cell of $("list-head").querySelectorAll(".more")) cell.remove();
    $("list-head").lastElementChild.before(...paths.map((path) => h("span", { className: "more", title: path }, path)));
    this.#redraw();
  }

  pause(isPaused) {
    this.isPaused = isPaused;
    if (!isPaused) this.#flush();
  }

  clear() {
    this.#all = new Kept();
    this.#matching = new Kept();
    this.#readAt = -Infinity; // nobody reads what is gone, even if the pointer is where it was
    this.#redraw();
  }

  /** Those that match, as they came. */
  get texts() {
    return this.#matching.items.map(({ text }) => text);
  }

  #redraw() {
    this.#list.replaceChildren();
    this.#shown = 0;
    this.#waiting = this.#matching.items.length;
    this.#flush();
  }

  #soon() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      if (performance.now() - this.#lookedAt < FLUSH_MS) this.#soon();
      else if (this.#held()) this.#wait();
      else this.#flush();
    });
  }

  /** Why the list stands still, "" if it does not. */
  #held() {
    if (this.isPaused) return "paused";
    if (this.#list.querySelector(".is-open")) return "paused while an event is open";
    const focused = this.#list.querySelector(":focus-visible");
    if (focused || performance.now() - this.#readAt < READING_MS) return "paused while you point at the list";
    return this.#head.getBoundingClientRect().top < -SCROLLED_PX ? "paused while you scroll" : "";
  }

  #wait() {
    this.#lookedAt = performance.now();
    this.#say(this.#held());
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#soon(), READING_MS / 4);
  }

  #flush() {
    this.#lookedAt = performance.now();
    const fresh = this.#waiting ? this.#matching.items.slice(-this.#waiting) : [];
    this.#waiting = 0;
    const rows = document.createDocumentFragment();
    for (const item of fresh.reverse()) rows.append(this.#row(item));
    this.#list.prepend(rows);
    while (this.#list.childElementCount > KEPT) this.#list.lastElementChild.remove();
    this.#shown = this.#list.childElementCount;
    this.#say();
  }

  #say(held = "") {
    this.#news.hidden = !this.#waiting;
    const kept = this.#waiting > KEPT ? `, only the newest ${KEPT} kept` : "";
    this.#news.textContent = `Show ${some(this.#waiting, "new event")} (${held}${kept})`;
    const { isEmpty } = this.#filter;
    $("kept").textContent =
      `${number(this.#shown)} shown; this page keeps the newest ${KEPT}` +
      `${isEmpty ? "" : `, and the newest ${KEPT} that match`}. Times are UTC.`;
    $("none").hidden = this.#shown > 0;
    this.#sayNone();
  }

  #sayNone() {
    let text = this.#isOpen ? "Waiting for the first event." : "No events yet. Choose streams, then press Start.";
    if (this.#all.items.length && !this.#filter.isEmpty) text = "No event matches the search.";
    if ($("none").textContent !== text) $("none").textContent = text;
  }

  #row(item) {
    const { at, type, wiki, title, link, user, stream } = item;
    const heading = title || stream || "an event without a title";
    const fold = h("button", { type: "button", className: "fold", ariaExpanded: "false", title: "Show details" });
    fold.ariaLabel = `Show details: ${heading}`;
    const time = Number.isNaN(at)
      ? h("span", { className: "time" }, "–")
      : h("time", { className: "time", dateTime: new Date(at).toISOString(), title: new Date(at).toISOString() }, clock(at));
    const name = h(link ? "a" : "span", { className: "title", dir: "auto" }, heading);
    if (link) Object.assign(name, { href: link, target: "_blank", rel: "noopener noreferrer" });
    const row = h(
      "li",
      { className: item.isCanary ? "event is-canary" : "event" },
      h(
        "div",
        { className: "row" },
        fold,
        time,
        this.#only("type", type),
        this.#only("wiki", wiki),
        name,
        user === null ? this.#redacted() : h("bdi", { className: "user" }, user),
        ...this.#more(item),
        h("span", { className: "stream", title: stream }, short(stream)),
      ),
    );
    const toggle = () => this.#unfold(row, fold, item);
    fold.addEventListener("click", toggle);
    row.firstElementChild.addEventListener("click", ({ target }) => {
      if (!target.closest("a, button") && getSelection().isCollapsed) toggle();
    });
    return row;
  }

  /** A value that, pressed, becomes the filter. */
  #only(field, value) {
    if (!value) return h("span", { className: field });
    const button = h("button", { type: "button", className: field, title: `Only ${field}=${value}` }, value);
    button.dataset.value = value;
    button.addEventListener("click", () => this.#onField(field, value));
    return button;
  }

  /** In place of a name that was removed; pressed, it finds the others. */
  #redacted() {
    const title = "The user was removed from this event. Show only such events";
    const button = h("button", { type: "button", className: "user is-redacted", title }, "redacted");
    button.addEventListener("click", () => this.#onField(REDACTED, "yes"));
    return button;
  }

  #more({ text }) {
    if (!this.#columns.length) return [];
    const event = JSON.parse(text);
    return this.#columns.map((path) => {
      const value = valueAt(event, path);
      const label = h("span", { className: "label" }, `${path} `);
      return h("span", { className: "more", title: `${path}: ${value}` }, value && label, h("bdi", {}, value));
    });
  }

  #unfold(row, fold, item) {
    const isOpen = row.classList.toggle("is-open");
    fold.ariaExpanded = String(isOpen);
    if (!isOpen) {
      row.lastElementChild.remove();
      return;
    }
    const button = h("button", { type: "button", className: "small" }, "Copy JSON");
    button.addEventListener("click", async () => {
      button.textContent = (await copy(item.text)) ? "Copied" : "Could not copy";
    });
    const links = linksOf(JSON.parse(item.text), item).map(({ text, href }) =>
      h("a", { href, target: "_blank", rel: "noopener noreferrer" }, text),
    );
    const bar = h("p", { className: "links" }, ...links, button);
    row.append(h("div", { className: "whole" }, bar, tree(item.text, this.#onValue, this.#onColumn)));
  }
}
