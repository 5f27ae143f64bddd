// Counts what was received.

const WINDOW_SECONDS = 10;

export class Ledger {
  startedAt = Date.now();
  events = 0;
  bytes = 0;
  /** How the stream is compressed, "" for not at all; and its bytes before they were decoded, where they are known. */
  encoding = "";
  sentBytes = 0;
  /** Events whose offset had come before: none, if the server and this page do what they promise. */
  repeated = 0;
  /** Offsets that no event had. Kafka's numbering may have holes: transactions, records that are no events. */
  skipped = 0;
  /** What the server reported as missing. */
  gaps = [];
  canaries = 0;
  connections = 0;
  openSince = null;
  lagMs = null;
  /** When the last event came, in ms. */
  lastAt = null;
  /** The server reported that it has nothing to send: however old the last event is, there is no newer one. */
  isUpToDate = false;
  #next = new Map();
  #seconds = [];

  /** `event` is parsed, `at` is its time in ms or NaN, `id` the one that came with it. */
  take(event, at, id) {
    const { topic, partition, offset } = event.meta ?? {};
    this.events += 1;
    this.lastAt = Date.now();
    this.isUpToDate = false;
    if (Number.isInteger(offset)) {
      const key = `${topic} ${partition}`;
      const next = this.#next.get(key);
      if (next !== undefined && offset < next) this.repeated += 1;
      else {
        if (next !== undefined) this.skipped += offset - next;
        this.#next.set(key, offset + 1);
      }
    }
    const time = Number.isNaN(at) ? timeOf(id, topic, partition) : at;
    if (time !== null) this.lagMs = Math.max(0, Date.now() - time);
    const second = Math.floor(Date.now() / 1000);
    const last = this.#seconds.at(-1);
    if (last?.second === second) last.count += 1;
    else this.#seconds.push({ second, count: 1 });
    while (this.#seconds[0].second < second - WINDOW_SECONDS) this.#seconds.shift();
  }

  /** What lies before a gap says nothing about the offsets after it. */
  missing(gaps) {
    this.gaps.push(...gaps);
    for (const { topic, partition } of gaps) this.#next.delete(`${topic} ${partition}`);
  }

  clear() {
    this.startedAt = Date.now();
    this.events = this.bytes = this.canaries = 0;
    this.#seconds = [];
  }

  opened() {
    this.connections += 1;
    this.openSince = Date.now();
  }

  get reconnects() {
    return Math.max(0, this.connections - 1);
  }

  /** Events per second over the last whole seconds. */
  get perSecond() {
    const now = Math.floor(Date.now() / 1000);
    const recent = this.#seconds.filter(({ second }) => second < now && second >= now - WINDOW_SECONDS);
    return recent.reduce((sum, { count }) => sum + count, 0) / WINDOW_SECONDS;
  }
}

/** Kafka's timestamp of the event that came with this id, in ms. */
function timeOf(id, topic, partition) {
  try {
    const entry = JSON.parse(id).find((one) => one.topic === topic && one.partition === partition);
    return entry ? entry.timestamp - 1 : null;
  } catch {
    return null;
  }
}
