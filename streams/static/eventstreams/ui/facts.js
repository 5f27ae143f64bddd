// What the page says about what comes: one sentence in plain words, and the figures.

import { $, bytes, clock, duration, number, perSecond } from "./text.js";

const LIVE_MS = 10_000;
const KINDS = {
  edit: ["edit", "edits"],
  new: ["new page", "new pages"],
  categorize: ["category change", "category changes"],
  move: ["move", "moves"],
  delete: ["deletion", "deletions"],
};
const ALIKE = { create: "new" };
const NAMED = 2;

/** What came in the last seconds, such as "1,240 edits in the last minute, most on enwiki."; Maps count by type and wiki. */
export function sentence({ total, seconds, types, wikis }) {
  const span = seconds >= 60 ? "the last minute" : seconds > 1 ? `the last ${seconds} s` : "the last second";
  if (!total) return `No events in ${span}.`;
  const named = new Map();
  for (const [type, count] of types) {
    const words = KINDS[ALIKE[type] ?? type];
    if (words) named.set(words, (named.get(words) ?? 0) + count);
  }
  const largest = [...named].sort(([, a], [, b]) => b - a).slice(0, NAMED);
  const counted = largest.map(([words, count]) => of(count, words));
  const others = total - largest.reduce((sum, [, count]) => sum + count, 0);
  if (counted.length === 1 && !others) return `${counted[0]} in ${span}${where(wikis, total, ", ")}.`;
  if (others) counted.push(of(others, ["other", "others"]));
  const detail = largest.length ? `: ${counted.join(", ")}` : "";
  return `${of(total, ["event", "events"])} in ${span}${detail}${where(wikis, total, detail ? "; " : ", ")}.`;
}

const of = (count, [one, many]) => `${number(count)} ${count === 1 ? one : many}`;

function where(wikis, total, before) {
  const [first] = [...wikis].filter(([wiki]) => wiki).sort(([, a], [, b]) => b - a);
  if (!first) return "";
  const share = total === 1 ? "" : first[1] === total ? "all " : "most ";
  return `${before}${share}on ${first[0]}`;
}

/** How far the last event is behind the clock: a value and a remark. */
function delay({ lagMs, isUpToDate }) {
  if (lagMs === null) return ["–", ""];
  if (lagMs < LIVE_MS) return [`${(lagMs / 1000).toFixed(1)} s`, "live"];
  return isUpToDate ? ["0 s", "live, no new events"] : [duration(lagMs), "replaying history"];
}

/** The sentence while a connection is open, "" else. `recent` is the chart's account of the last minute. */
function summary(ledger, isOpen, recent) {
  if (!isOpen) return "";
  if (ledger.lastAt === null) return "Waiting for the first event.";
  const [, remark] = delay(ledger);
  const replay = remark === "replaying history" ? `Replaying, now at ${clock(Date.now() - ledger.lagMs)} UTC. ` : "";
  return replay + sentence(recent);
}

export function showFacts({ phase, until }, ledger, isSilent, recent) {
  const isOpen = phase === "open";
  put("summary", summary(ledger, isOpen && !isSilent, recent));
  put("next", phase === "waiting" ? `Trying again in ${duration(Math.max(1000, until - Date.now()))}.` : "");
  fact("since", isOpen ? clock(ledger.openSince) : "–", isOpen ? `for ${duration(Date.now() - ledger.openSince)}` : "");
  fact("reconnects", number(ledger.reconnects));
  fact("events", number(ledger.events), `${perSecond(ledger.perSecond)} per second`);
  fact("bytes", bytes(ledger.bytes), sizes(ledger));
  fact("repeated", number(ledger.repeated), `${number(ledger.skipped)} offsets skipped`);
  const last = ledger.gaps.at(-1);
  fact("gaps", number(ledger.gaps.length), last ? `last in ${last.topic}` : "reported by the server");
  fact("behind", ...(isSilent ? ["–", "nothing arrives"] : delay(ledger)));
  fact("last", ledger.lastAt === null ? "–" : duration(Date.now() - ledger.lastAt), ledger.lastAt === null ? "" : "ago");
}

/** The browser tells how many bytes were on their way only when a stream has ended. */
function sizes({ bytes: received, events, encoding, sentBytes }) {
  const each = events ? `${bytes(received / events)} an event` : "";
  const sent = sentBytes ? `sent as ${bytes(sentBytes)} (${encoding})` : encoding && `sent as ${encoding}`;
  return [each, sent].filter(Boolean).join(", ");
}

function fact(name, value, note = "") {
  const [first, second] = $(`fact-${name}`).children;
  if (first.textContent !== value) first.textContent = value;
  if (second.textContent !== note) second.textContent = note;
}

function put(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}
