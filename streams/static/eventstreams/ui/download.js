// Saves events as a file: those that the page shows, or all from the start to the end, as the server has them.
//
// The latter are as many as one asks for, so they never lie in memory together: they are written as they come, and
// the server is read no faster than that. Without the File System Access API they become parts of a Blob, which a
// browser keeps outside of the page, up to a bound.

import { csvHeader, csvLine } from "./csv.js";
import { item } from "./events.js";
import { words } from "./problems.js";
import { Connection } from "./sse.js";
import { $, bytes, clock, duration, h, number, some } from "./text.js";

const PIECE_CHARS = 1_000_000;
const MOST_BLOB_BYTES = 2_000_000_000;
const SHOW_MS = 250;
const TYPES = { ndjson: "application/x-ndjson", csv: "text/csv" };

const LINES = {
  ndjson: { header: () => "", line: (event, data) => `${data}\n` },
  csv: { header: csvHeader, line: (event, data, paths) => csvLine(event, item(event, data), paths) },
};

export class Download {
  #asked;
  #running = null;

  /**
   * `asked` has `obstacle()`, why there is no whole replay, "" if there is; `url()`, `id()` and `span()` of it, the
   * last one being its start and end in ms, null where unknown; `limit()`; `columns()`; `shown()`, the texts of the
   * events that the page shows; `silenceMs()`.
   */
  constructor(asked) {
    this.#asked = asked;
    $("save").addEventListener("click", () => this.#saveShown());
    $("save-all").addEventListener("click", () => this.#saveAll());
    $("save-cancel").addEventListener("click", () => this.#running?.cancel());
  }

  get #format() {
    return $("save-as").value;
  }

  #saveShown() {
    const { header, line } = LINES[this.#format];
    const paths = this.#asked.columns();
    const lines = this.#asked.shown().map((text) => line(JSON.parse(text), text, paths));
    offer([header(paths), ...lines], this.#format);
    say(`Saved ${some(lines.length, "event")}.`);
  }

  async #saveAll() {
    const why = this.#asked.obstacle();
    if (why || this.#running) {
      say(why);
      return;
    }
    const format = this.#format;
    let file;
    try {
      file = await target(format);
    } catch (problem) {
      say(problem.name === "AbortError" ? "" : `The file cannot be written: ${problem.message}`);
      return;
    }
    this.#running = new Run(this.#asked, format, file);
    $("save-all").disabled = true;
    $("save-run").hidden = false;
    $("save-cancel").focus();
    say("");
    say(await this.#running.done);
    const hadFocus = document.activeElement === $("save-cancel");
    $("save-all").disabled = false;
    $("save-run").hidden = true;
    this.#running = null;
    if (hadFocus) $("save-all").focus();
  }
}

/** One whole replay on its way into a file. `done` resolves to what there is to say of it, and never rejects. */
class Run {
  #events = 0;
  #gaps = 0;
  #bytes = 0;
  #at = NaN;
  #state = { phase: "connecting" };
  #waiting = [];
  #chars = 0;
  #connection;
  #file;
  #lines;
  #paths;
  #span;
  #limit;
  #finish;
  #began = Date.now();
  #timer;

  constructor(asked, format, file) {
    this.#file = file;
    this.#lines = LINES[format];
    this.#paths = asked.columns();
    this.#span = asked.span();
    this.#limit = asked.limit();
    this.done = new Promise((resolve) => {
      this.#finish = resolve;
    });
    this.#put(this.#lines.header(this.#paths));
    this.#connection = new Connection(asked.url(), asked.id(), asked.silenceMs, {
      state: (now) => this.#changed(now),
      event: ({ data }) => this.#take(data),
      received: (count) => this.#received(count),
      since: () => {},
      filter: () => {},
      gap: (gaps) => {
        this.#gaps += gaps.length;
      },
      idle: () => {},
    });
    this.#timer = setInterval(() => this.#show(), SHOW_MS);
    this.#show();
    this.#connection.run();
  }

  async cancel(text = "Cancelled: no file was saved.") {
    if (!this.#finish) return;
    const finish = this.#end();
    this.#connection.stop();
    await this.#file.abort().catch(() => {});
    finish(text);
  }

  #end() {
    const finish = this.#finish;
    this.#finish = null;
    clearInterval(this.#timer);
    return finish;
  }

  #take(data) {
    const event = JSON.parse(data);
    this.#events += 1;
    const at = Date.parse(event.meta?.dt ?? event.dt);
    if (!Number.isNaN(at)) this.#at = at;
    this.#put(this.#lines.line(event, data, this.#paths));
  }

  #put(text) {
    this.#waiting.push(text);
    this.#chars += text.length;
  }

  /** The connection reads on when this is done. */
  async #received(count) {
    this.#bytes += count;
    if (this.#chars >= PIECE_CHARS) await this.#write();
  }

  async #write() {
    const piece = new Blob(this.#waiting);
    this.#waiting = [];
    this.#chars = 0;
    try {
      await this.#file.write(piece);
    } catch (problem) {
      await this.cancel(`No file was saved: ${problem.message}`);
    }
  }

  async #changed(now) {
    this.#state = now;
    if (!this.#finish) return;
    if (now.phase === "refused") await this.cancel(`No file was saved. ${words(now.problem)}`);
    else if (now.phase === "ended") {
      await this.#write();
      if (!this.#finish) return;
      const finish = this.#end();
      try {
        await this.#file.close();
        const missing = this.#gaps ? ` Events are missing: the server reported ${some(this.#gaps, "gap")}.` : "";
        finish(`Saved ${some(this.#events, "event")} in ${duration(Date.now() - this.#began)}.${missing}`);
      } catch (problem) {
        finish(`No file was saved: ${problem.message}`);
      }
    }
  }

  #show() {
    const { phase, problem, until } = this.#state;
    const share = this.#share();
    const bar = $("save-bar");
    if (share === null) bar.removeAttribute("value");
    else bar.value = share;
    const reached = Number.isNaN(this.#at) ? "" : `, now at ${clock(this.#at)} UTC`;
    const percent = share === null ? "" : ` (${Math.floor(share * 100)} %)`;
    const trouble = phase === "waiting" ? ` ${words(problem)} Trying again in ${duration(until - Date.now())}.` : "";
    $("save-progress").textContent =
      `${some(this.#events, "event")}, ${bytes(this.#bytes)}${reached}${percent}.${trouble}`;
  }

  /** How much of it has come, 0 to 1, by the events' times or their number; null where nobody can know. */
  #share() {
    const [from, to] = this.#span;
    const shares = [];
    if (this.#limit !== null) shares.push(this.#events / this.#limit);
    if (from !== null && to !== null && !Number.isNaN(this.#at)) shares.push((this.#at - from) / (to - from));
    return shares.length ? Math.min(1, Math.max(0, ...shares)) : null;
  }
}

/** Where a file is written to: what a person chose, or parts that are offered as a download at the end. */
async function target(format) {
  const name = fileName(format);
  if (typeof showSaveFilePicker === "function") {
    const accept = { [TYPES[format]]: [`.${format}`] };
    const handle = await showSaveFilePicker({ suggestedName: name, types: [{ accept }] });
    return handle.createWritable();
  }
  let parts = [];
  let size = 0;
  return {
    write: async (blob) => {
      parts.push(blob);
      size += blob.size;
      if (size > MOST_BLOB_BYTES) {
        const most = number(MOST_BLOB_BYTES / 1e9);
        throw new Error(`this browser can keep at most ${most} GB. Choose a shorter time, or copy the curl command.`);
      }
    },
    close: async () => offer(parts, format),
    abort: async () => {
      parts = [];
    },
  };
}

function offer(parts, format) {
  const url = URL.createObjectURL(new Blob(parts, { type: TYPES[format] }));
  h("a", { href: url, download: fileName(format) }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

const fileName = (format) => `events.${format}`;

function say(text) {
  $("saved").textContent = text;
}
