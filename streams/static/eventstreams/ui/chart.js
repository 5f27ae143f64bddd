// Events per second over the last minutes, by stream, wiki or type: bars on a canvas, and a table that says the same.

import { $, duration, h, number, perSecond, short } from "./text.js";

const SECONDS = 180;
const RECENT_SECONDS = 10;
const TOP = 5;
const OTHERS = "all others";
const NONE = "none";
const GROUPINGS = ["stream", "wiki", "type"];
const PAD = { left: 38, right: 6, top: 8, bottom: 18 };

export class Chart {
  #canvas = $("chart");
  #table = $("legend");
  #seconds = [];
  #slots = [];
  #by = "stream";

  constructor() {
    new ResizeObserver(() => this.draw()).observe(this.#canvas);
    document.addEventListener("themechange", () => this.draw());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  set by(grouping) {
    this.#by = grouping;
    this.#slots = [];
    this.draw();
  }

  add(event) {
    const second = Math.floor(Date.now() / 1000);
    let last = this.#seconds.at(-1);
    if (last?.second !== second) {
      last = { second, stream: new Map(), wiki: new Map(), type: new Map() };
      this.#seconds.push(last);
    }
    for (const grouping of GROUPINGS) {
      const name = event[grouping] || NONE;
      last[grouping].set(name, (last[grouping].get(name) ?? 0) + 1);
    }
  }

  /** Counts of at most the last `seconds`, the current one among them: a total, Maps by type and wiki. */
  recent(seconds) {
    const now = Math.floor(Date.now() / 1000);
    const recent = this.#seconds.filter(({ second }) => second > now - seconds);
    const counts = { total: 0, type: new Map(), wiki: new Map() };
    for (const one of recent) {
      for (const count of one.stream.values()) counts.total += count;
      for (const grouping of ["type", "wiki"]) {
        for (const [name, count] of one[grouping]) {
          if (name !== NONE) counts[grouping].set(name, (counts[grouping].get(name) ?? 0) + count);
        }
      }
    }
    return { total: counts.total, types: counts.type, wikis: counts.wiki };
  }

  clear() {
    this.#seconds = [];
    this.#slots = [];
    this.draw();
  }

  /** The current second is left out: its count is not complete. */
  draw() {
    const now = Math.floor(Date.now() / 1000);
    this.#seconds = this.#seconds.filter(({ second }) => second >= now - SECONDS);
    const groups = this.#groups(now);
    this.#legend(groups);
    this.#paint(now, groups);
  }

  /** The largest groups in the order of their colours, which they keep as long as they are among the largest. */
  #groups(now) {
    const totals = new Map();
    const recent = new Map();
    for (const { second, [this.#by]: counts } of this.#seconds) {
      if (second === now) continue;
      for (const [name, count] of counts) {
        totals.set(name, (totals.get(name) ?? 0) + count);
        if (second >= now - RECENT_SECONDS) recent.set(name, (recent.get(name) ?? 0) + count);
      }
    }
    const names = [...totals.keys()].sort((a, b) => totals.get(b) - totals.get(a));
    const top = names.slice(0, names.length === TOP + 1 ? TOP + 1 : TOP);
    this.#slots = this.#slots.map((name) => (top.includes(name) ? name : undefined));
    for (const name of top) {
      if (this.#slots.includes(name)) continue;
      const free = this.#slots.indexOf(undefined);
      this.#slots[free < 0 ? this.#slots.length : free] = name;
    }
    const sum = (map, of) => of.reduce((total, name) => total + (map.get(name) ?? 0), 0);
    const groups = top.map((name) => ({ name, slot: this.#slots.indexOf(name), members: [name] }));
    const others = names.slice(top.length);
    if (others.length) groups.push({ name: OTHERS, slot: "others", members: others });
    return groups.map((group) => ({
      ...group,
      members: new Set(group.members),
      total: sum(totals, group.members),
      rate: sum(recent, group.members) / RECENT_SECONDS,
    }));
  }

  #legend(groups) {
    const rows = groups.map(({ name, slot, total, rate }) =>
      h(
        "tr",
        {},
        h("th", { scope: "row" }, h("i", { className: `swatch colour-${slot}` }), h("bdi", { title: name }, short(name))),
        h("td", {}, perSecond(rate)),
        h("td", {}, number(total)),
      ),
    );
    this.#table.replaceChildren(...rows);
    const all = groups.reduce((sum, { rate }) => sum + rate, 0);
    const most = groups.length ? `, most of them from ${groups[0].name}` : "";
    this.#canvas.ariaLabel = `Events per second over the last ${duration(SECONDS * 1000)}: ${perSecond(all)} now${most}`;
  }

  #paint(now, groups) {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    if (!width) return;
    const scale = devicePixelRatio || 1;
    this.#canvas.width = width * scale;
    this.#canvas.height = height * scale;
    const context = this.#canvas.getContext("2d");
    context.scale(scale, scale);
    const style = getComputedStyle(this.#canvas);
    context.font = `11px ${style.fontFamily}`;
    const seconds = this.#seconds.filter(({ second }) => second < now);
    const heights = seconds.map((one) => [...one[this.#by].values()].reduce((a, b) => a + b, 0));
    const top = niceTop(Math.max(1, ...heights));
    const plot = { width: width - PAD.left - PAD.right, height: height - PAD.top - PAD.bottom };
    const y = (value) => PAD.top + plot.height * (1 - value / top);
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (const value of [0, top / 2, top]) {
      context.fillStyle = style.borderTopColor;
      context.fillRect(PAD.left, Math.round(y(value)), plot.width, 1);
      context.fillStyle = style.color;
      context.fillText(value < 10 ? String(value) : number(Math.round(value)), PAD.left - 6, y(value));
    }
    context.textBaseline = "bottom";
    for (let minutes = 0; minutes * 60 <= SECONDS; minutes += 1) {
      context.textAlign = minutes === 0 ? "right" : minutes * 60 === SECONDS ? "left" : "center";
      const x = PAD.left + plot.width * (1 - (minutes * 60) / SECONDS);
      context.fillText(minutes ? `−${minutes} min` : "now", x, height);
    }
    const swatches = [...this.#table.querySelectorAll(".swatch")];
    const colours = swatches.map((swatch) => getComputedStyle(swatch).backgroundColor);
    const step = plot.width / SECONDS;
    for (const one of seconds) {
      const x = Math.round(PAD.left + (one.second - now + SECONDS) * step);
      const next = Math.round(PAD.left + (one.second - now + SECONDS + 1) * step);
      let below = 0;
      groups.forEach(({ members }, index) => {
        let count = 0;
        for (const [name, some] of one[this.#by]) if (members.has(name)) count += some;
        if (!count) return;
        context.fillStyle = colours[index];
        context.fillRect(x, y(below + count), next - x, y(below) - y(below + count));
        below += count;
      });
    }
  }
}

/** The least round number that is not below the value, and whose half is as round. */
function niceTop(value) {
  if (value <= 10) return value + (value % 2);
  for (let power = 10; ; power *= 10) {
    for (const step of [1.2, 1.6, 2, 3, 4, 6, 8, 10]) if (step * power >= value) return step * power;
  }
}
