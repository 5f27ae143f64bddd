// Events by stream, wiki or type: bars on a canvas, and a table that says the same. Over the last minutes, as they come;
// or, of a replay, over the events' own time.

import { $, clock, duration, h, number, perSecond, short } from "./text.js";
import { Times } from "./times.js";

const SECONDS = 180;
const RECENT_SECONDS = 10;
const TOP = 5;
const OTHERS = "all others";
const NONE = "none";
const GROUPINGS = ["stream", "wiki", "type"];
const PAD = { right: 6, top: 8, bottom: 18 };
const LABEL_GAP = 6;
const nameOf = (event, grouping) => event[grouping] || NONE;

export class Chart {
  #canvas = $("chart");
  #table = $("legend");
  #seconds = [];
  #slots = [];
  #by = "stream";
  #times = new Times(GROUPINGS);
  #isByTime = false;

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

  /** Whether the bars are by the events' own times, rather than by when they came. */
  set isByTime(isByTime) {
    this.#isByTime = isByTime;
    this.#slots = [];
    this.draw();
  }

  add(event) {
    if (!Number.isNaN(event.at)) this.#times.add(event, nameOf);
    const second = Math.floor(Date.now() / 1000);
    let last = this.#seconds.at(-1);
    if (last?.second !== second) {
      last = { second, stream: new Map(), wiki: new Map(), type: new Map() };
      this.#seconds.push(last);
    }
    for (const grouping of GROUPINGS) {
      const name = nameOf(event, grouping);
      last[grouping].set(name, (last[grouping].get(name) ?? 0) + 1);
    }
  }

  /** Counts since `at` (ms, at most 3 minutes ago), with the whole second that has it: a total, Maps by type and wiki. */
  recent(at) {
    const recent = this.#seconds.filter(({ second }) => second >= Math.floor(at / 1000));
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
    this.#times = new Times(GROUPINGS);
    this.#slots = [];
    this.draw();
  }

  /** Of the last minutes the current second is left out: its count is not complete. */
  draw() {
    const now = Math.floor(Date.now() / 1000);
    this.#seconds = this.#seconds.filter(({ second }) => second >= now - SECONDS);
    const view = this.#isByTime ? this.#ofTimes() : this.#ofLastMinutes(now);
    const groups = this.#groups(view);
    this.#legend(view, groups);
    this.#paint(view, groups);
  }

  /**
   * What is drawn: bars of `width` seconds from `from` to `to`; events per second are those since `recent`, over
   * `recentSeconds`; `label` says a time of the axis, `ticks` are the seconds that have one.
   */
  #ofLastMinutes(now) {
    return {
      bars: this.#seconds.filter(({ second }) => second < now),
      width: 1,
      from: now - SECONDS,
      to: now,
      recent: now - RECENT_SECONDS,
      recentSeconds: RECENT_SECONDS,
      ticks: [...Array(SECONDS / 60 + 1).keys()].map((minutes) => now - minutes * 60),
      label: (second) => (second === now ? "now" : `−${(now - second) / 60} min`),
      span: `over the last ${duration(SECONDS * 1000)}`,
      all: "3 minutes",
    };
  }

  #ofTimes() {
    const { width, buckets, span } = this.#times;
    const [from, to] = span ?? [0, 1];
    const spanMs = (to - from) * 1000;
    return {
      bars: [...buckets.values()],
      width,
      from,
      to,
      recent: from,
      recentSeconds: to - from,
      ticks: span ? [from, (from + to) / 2, to] : [],
      label: (second) => clock(second * 1000).replace(spanMs > 600_000 ? /:\d\d$/ : "", ""),
      span: span ? `from ${clock(from * 1000)} to ${clock(to * 1000)} UTC` : "by their time",
      all: "all",
    };
  }

  /** The largest groups in the order of their colours, which they keep as long as they are among the largest. */
  #groups({ bars, recent: since, recentSeconds }) {
    const totals = new Map();
    const recent = new Map();
    for (const { second, [this.#by]: counts } of bars) {
      for (const [name, count] of counts) {
        totals.set(name, (totals.get(name) ?? 0) + count);
        if (second >= since) recent.set(name, (recent.get(name) ?? 0) + count);
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
      rate: sum(recent, group.members) / recentSeconds,
    }));
  }

  #legend({ span, all: allOf }, groups) {
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
    $("legend-all").textContent = allOf;
    this.#canvas.ariaLabel = `Events per second ${span}: ${perSecond(all)}${this.#isByTime ? "" : " now"}${most}`;
  }

  #paint(view, groups) {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    if (!width) return;
    const scale = devicePixelRatio || 1;
    this.#canvas.width = width * scale;
    this.#canvas.height = height * scale;
    const context = this.#canvas.getContext("2d");
    context.scale(scale, scale);
    const style = getComputedStyle(this.#canvas);
    context.font = `11px ${style.fontFamily}`;
    const heights = view.bars.map((one) => [...one[this.#by].values()].reduce((a, b) => a + b, 0) / view.width);
    const top = niceTop(Math.max(1, ...heights));
    const levels = [0, top / 2, top].map((value) => [value, value < 10 ? String(value) : number(Math.round(value))]);
    const left = Math.ceil(Math.max(26, ...levels.map(([, text]) => context.measureText(text).width))) + LABEL_GAP;
    this.#canvas.dataset.top = levels.at(-1)[1];
    this.#canvas.dataset.left = left;
    const plot = { width: width - left - PAD.right, height: height - PAD.top - PAD.bottom };
    const x = (second) => left + (plot.width * (second - view.from)) / (view.to - view.from);
    const y = (value) => PAD.top + plot.height * (1 - value / top);
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (const [value, text] of levels) {
      context.fillStyle = style.borderTopColor;
      context.fillRect(left, Math.round(y(value)), plot.width, 1);
      context.fillStyle = style.color;
      context.fillText(text, left - LABEL_GAP, y(value));
    }
    context.textBaseline = "bottom";
    // In a span of few seconds the one in the middle may say the same as its neighbour.
    const isNew = (second, place) => place !== 1 || view.label(second) !== view.label(view.ticks[0]);
    for (const second of view.ticks.filter(isNew)) {
      context.textAlign = second === view.to ? "right" : second === view.from ? "left" : "center";
      context.fillText(view.label(second), x(second), height);
    }
    const swatches = [...this.#table.querySelectorAll(".swatch")];
    const colours = swatches.map((swatch) => getComputedStyle(swatch).backgroundColor);
    for (const one of view.bars) {
      const start = Math.round(x(one.second));
      const next = Math.max(start + 1, Math.round(x(one.second + view.width)));
      let below = 0;
      groups.forEach(({ members }, index) => {
        let count = 0;
        for (const [name, some] of one[this.#by]) if (members.has(name)) count += some / view.width;
        if (!count) return;
        context.fillStyle = colours[index];
        context.fillRect(start, y(below + count), next - start, y(below) - y(below + count));
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
