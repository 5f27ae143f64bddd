// When no events arrive: whether that is unusual for these streams, and what the service says about itself.
//
// Keep-alives come while Kafka stands still, too, so a connection that is open says nothing about the events.

import { ROOT } from "./root.js";

const KEPT = 30;
const ENOUGH = 5;
const LIVELY_MS = 10_000;
const QUIET_MS = 60_000;
const TIMES = 5;

export class Silence {
  /** Of a stream that usually has events more often: then the silence itself is worth saying. */
  isLively = false;
  /** How long there has been no event, in ms; null where that is not worth saying. */
  forMs = null;
  /** What the service said (see `ask`); null before. */
  answer = null;
  #ask;
  #since = null;
  #seen = [];
  #nextAsk = 0;

  /** `ask` resolves to `{status, said}`; it is called at most once in 10 s, for streams that are seldom once in 60 s. */
  constructor(ask) {
    this.#ask = ask;
  }

  opened(now) {
    this.#since = now;
    this.#end();
  }

  closed() {
    this.#since = null;
    this.#end();
  }

  /** An event has come; `at` is its own time in ms, or NaN. */
  event(now, at) {
    this.#since = now;
    this.#seen.push({ now, at });
    if (this.#seen.length > KEPT) this.#seen.shift();
    if (this.forMs !== null) this.#end();
  }

  /** To be called once a second. `rate` is how many events per second these streams usually have, 0 if not known. */
  check(now, rate) {
    const usual = this.#usualMs(rate);
    const limit = Math.min(QUIET_MS, Math.max(LIVELY_MS, TIMES * usual));
    if (this.#since === null || now - this.#since < limit) return;
    this.isLively = limit < QUIET_MS;
    this.forMs = now - this.#since;
    if (now < this.#nextAsk) return;
    this.#nextAsk = now + (this.isLively ? LIVELY_MS : QUIET_MS);
    const since = this.#since;
    this.#ask().then((answer) => {
      if (this.#since === since) this.answer = answer;
    });
  }

  /** From one event to the next: by when they came, or, while history is replayed, by their own times. */
  #usualMs(rate) {
    const seen = this.#seen;
    if (seen.length < ENOUGH) return rate > 0 ? 1000 / rate : Infinity;
    const [first, last] = [seen[0], seen.at(-1)];
    const spans = [last.now - first.now, last.at - first.at].filter((span) => !Number.isNaN(span));
    return Math.max(...spans) / (seen.length - 1);
  }

  #end() {
    this.forMs = this.answer = null;
    this.isLively = false;
  }
}

/** What `/readyz` says: `{status, said}`, `status` being unknown where there is no such answer. */
export async function ask() {
  try {
    const response = await fetch(`${ROOT}/readyz`, { cache: "no-store", signal: AbortSignal.timeout(5000) });
    const { status, reasons = [], degraded = [] } = await response.json();
    return { status: String(status), said: [...reasons, ...degraded].map(String) };
  } catch {
    return { status: "unknown", said: [] };
  }
}
