// Counts by the events' own times, however long they span: in at most MOST buckets, whose width grows.

const MOST = 180;
/** Seconds; each divides the next. Beyond, each is twice the one before. */
const WIDTHS = [1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 21_600, 43_200, 86_400];

export class Times {
  /** Seconds of a bucket. */
  width = 1;
  /** `{second, ...counts}` by number: `second` is the first of the bucket, each of the counts a Map by name. */
  buckets = new Map();
  #first = Infinity;
  #last = -Infinity;

  constructor(groupings) {
    this.groupings = groupings;
  }

  /** `event` has its time `at`, in ms, and a name for each grouping. */
  add(event, nameOf) {
    const number = Math.floor(event.at / 1000 / this.width);
    this.#first = Math.min(this.#first, number);
    this.#last = Math.max(this.#last, number);
    const bucket = this.#bucket(this.buckets, number);
    for (const grouping of this.groupings) count(bucket[grouping], nameOf(event, grouping), 1);
    while (this.#last - this.#first >= MOST) this.#widen();
  }

  /** The first and the last second, the latter exclusive; null without events. */
  get span() {
    return this.buckets.size ? [this.#first * this.width, (this.#last + 1) * this.width] : null;
  }

  #bucket(buckets, number) {
    let bucket = buckets.get(number);
    if (!bucket) {
      bucket = { second: number * this.width };
      for (const grouping of this.groupings) bucket[grouping] = new Map();
      buckets.set(number, bucket);
    }
    return bucket;
  }

  #widen() {
    const old = this.buckets;
    this.width = WIDTHS[WIDTHS.indexOf(this.width) + 1] ?? this.width * 2;
    this.buckets = new Map();
    this.#first = Infinity;
    this.#last = -Infinity;
    for (const { second, ...counts } of old.values()) {
      const number = Math.floor(second / this.width);
      this.#first = Math.min(this.#first, number);
      this.#last = Math.max(this.#last, number);
      const bucket = this.#bucket(this.buckets, number);
      for (const grouping of this.groupings) {
        for (const [name, some] of counts[grouping]) count(bucket[grouping], name, some);
      }
    }
  }
}

function count(counts, name, some) {
  counts.set(name, (counts.get(name) ?? 0) + some);
}
