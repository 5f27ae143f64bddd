// A connection that reconnects and resumes after the last event it received.
//
// By fetch rather than EventSource: this page shows what EventSource keeps to itself. That is the status and the words
// of a refusal (429, 404, 503), for which EventSource has one bare "error"; comments, `:gap` among them; the wait until
// the next try; the number of bytes. The price is that the reconnect is ours: `retry`, a growing wait, Last-Event-ID.

const FIRST_WAIT_MS = 1000;
const MAX_WAIT_MS = 30_000;
const LINE_END = /\r\n?|\n/g;

/** text/event-stream (HTML standard, 9.2.6), in pieces as they come. */
export class Parser {
  #on;
  #rest = "";
  #scanned = 0;
  #data = [];
  #type = "";
  #id = "";

  /** `on` has `event({type, data, id})`, `comment(text)` and `retry(ms)`. */
  constructor(on) {
    this.#on = on;
  }

  push(text) {
    this.#rest += text;
    let start = 0;
    LINE_END.lastIndex = this.#scanned;
    for (let end; (end = LINE_END.exec(this.#rest)); ) {
      const next = end.index + end[0].length;
      if (end[0] === "\r" && next === this.#rest.length) break; // its \n may be on the way
      this.#line(this.#rest.slice(start, end.index));
      LINE_END.lastIndex = start = next;
    }
    this.#rest = this.#rest.slice(start);
    // What has been searched is not searched again: an event of 10 MB comes in hundreds of pieces.
    this.#scanned = Math.max(0, this.#rest.length - 1);
  }

  #line(line) {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return this.#on.comment(line.slice(1));
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "data") this.#data.push(value);
    else if (field === "event") this.#type = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    else if (field === "retry" && /^\d+$/.test(value)) this.#on.retry(Number(value));
  }

  #dispatch() {
    if (this.#data.length) {
      this.#on.event({ type: this.#type || "message", data: this.#data.join("\n"), id: this.#id });
    }
    this.#data = [];
    this.#type = "";
  }
}

/** The size of the last body from `url` before it was decoded, 0 where the browser does not tell. */
async function bytesOnTheWay(url) {
  await new Promise((resolve) => setTimeout(resolve, 100)); // the entry comes a moment after the last byte
  return performance.getEntriesByName(url, "resource").at(-1)?.encodedBodySize ?? 0;
}

/**
 * The streams at `url`. `on` has
 * - `state({phase, problem, until})`: phase is connecting, open, waiting (until a time, in ms), refused or stopped;
 *   or ended, with `end`: `{reason, events}`, the reason being until, limit, or past where the end lies behind already;
 * - `since(time)`, how the service understood the time to start from, where the streams' address has one;
 * - `filter(text)`, the filter that the server says is in force, "" without one;
 * - `event({data, id})`; `gap(array)`, what the server says to be missing; `idle()`, its sign that there is nothing to
 *   send; `received(bytes)`, after what these had in them: if that returns a promise, nothing is read before it is kept;
 * - `encoding(text)`, how the stream is compressed, "" for not at all; `sent(bytes)`, at the end of a compressed stream,
 *   the size that it had on its way, which browsers do not tell before, and not of a stream that breaks off.
 * A problem has `status`, `type`, `title` and `detail` as the server's, or a `type` of ours: unreachable, silent, ended.
 */
export class Connection {
  lastId = "";
  #url;
  #on;
  #silenceMs;
  #stopped = false;
  #attempt = null;
  #endWait = null;
  #failures = 0;
  #retryMs = FIRST_WAIT_MS;
  #isTold = false;
  #openedAt = null;
  #events = 0;

  /** Resumes after `lastId`, if there is one. After `silenceMs()` without any data the connection is closed; 0: never. */
  constructor(url, lastId, silenceMs, on) {
    this.#url = url;
    this.lastId = lastId;
    this.#silenceMs = silenceMs;
    this.#on = on;
  }

  async run() {
    while (!this.#stopped) {
      this.#on.state({ phase: "connecting" });
      const { problem, isFinal, waitMs, end } = this.#left === 0 ? { end: { reason: "limit" } } : await this.#once();
      if (this.#stopped) break;
      if (end) {
        this.#on.state({ phase: "ended", end: { ...end, events: this.#events } });
        return;
      }
      // A stream that was there a moment ago may be exposed again: its configuration may have been changed by mistake.
      if (isFinal && !(problem.status === 404 && this.#openedAt !== null)) {
        this.#on.state({ phase: "refused", problem });
        return;
      }
      await this.#wait(waitMs ?? this.#backoff(), problem);
    }
    this.#on.state({ phase: "stopped" });
  }

  stop() {
    this.#stopped = true;
    this.#attempt?.abort();
    this.#endWait?.();
  }

  /** Reconnect now, if it waits. */
  retryNow() {
    this.#endWait?.();
  }

  /** One connection, from its request to its end. */
  async #once() {
    this.#attempt = new AbortController();
    this.#isTold = false;
    const headers = { Accept: "text/event-stream" };
    if (this.lastId) headers["Last-Event-ID"] = this.lastId;
    let response;
    try {
      response = await fetch(this.#address(), { headers, cache: "no-store", signal: this.#attempt.signal });
      if (response.status === 204) return { end: { reason: "past" } };
      if (response.status !== 200) return await refusal(response);
    } catch {
      return { problem: { type: "unreachable" } };
    }
    if (!response.headers.get("Content-Type")?.startsWith("text/event-stream")) {
      return { problem: { type: "no_stream" }, isFinal: true };
    }
    const since = response.headers.get("EventStreams-Since");
    if (since && new URL(this.#url).searchParams.has("since")) this.#on.since(since);
    this.#on.filter(response.headers.get("EventStreams-Filter") ?? "");
    const encoding = response.headers.get("Content-Encoding") ?? "";
    this.#on.encoding?.(encoding);
    const left = await this.#read(response.body.getReader());
    if (encoding) this.#on.sent?.(await bytesOnTheWay(response.url));
    return left;
  }

  /** Before the first event there is no id to resume after; then it is the time of the first connection. */
  #address() {
    const url = new URL(this.#url);
    if (!this.lastId && this.#openedAt !== null && !url.searchParams.has("since")) {
      url.searchParams.set("since", this.#openedAt);
    }
    if (this.#left !== null) url.searchParams.set("limit", this.#left);
    return url;
  }

  /** How many events are still wanted, null where there is no limit. */
  get #left() {
    const limit = new URL(this.#url).searchParams.get("limit");
    return limit === null ? null : Math.max(0, Number(limit) - this.#events);
  }

  async #read(reader) {
    let end = null;
    let problem = { type: "ended" };
    this.#openedAt ??= Date.now();
    this.#on.state({ phase: "open" });
    const parser = new Parser({
      event: ({ type, data, id }) => {
        if (type === "error") {
          problem = parsed(data) ?? problem;
          return;
        }
        this.lastId = id || this.lastId;
        if (type === "end") end = parsed(data) ?? { reason: "until" };
        if (type !== "message") return; // a checkpoint only moves the id
        this.#events += 1;
        this.#failures = 0;
        this.#retryMs = FIRST_WAIT_MS;
        this.#isTold = false;
        this.#on.event({ data, id });
      },
      comment: (text) => {
        if (text.startsWith("gap ")) this.#on.gap(parsed(text.slice(4)) ?? []);
        else if (text.startsWith("filter ")) this.#on.filter(text.slice(7)); // whole, where the header is cut short
        else if (text === "") this.#on.idle();
      },
      retry: (ms) => {
        this.#retryMs = ms;
        this.#isTold = true;
      },
    });
    const decoder = new TextDecoder(); // keeps the first bytes of a character whose last ones are still to come
    for (;;) {
      let piece;
      const silenceMs = this.#silenceMs();
      const watchdog = silenceMs && setTimeout(() => this.#attempt.abort("silent"), silenceMs);
      try {
        piece = await reader.read();
      } catch {
        if (end) return { end };
        if (this.#attempt.signal.reason === "silent") return { problem: { type: "silent" } };
        return { problem: problem.type === "ended" ? { type: "broken" } : problem };
      } finally {
        clearTimeout(watchdog);
      }
      if (piece.done) return end ? { end } : { problem };
      parser.push(decoder.decode(piece.value, { stream: true }));
      await this.#on.received(piece.value.length);
    }
  }

  /** What the server asked for, else longer after each failure; spread, so that not all clients come at once. */
  #backoff() {
    if (this.#isTold) return this.#retryMs;
    this.#failures += 1;
    return Math.min(MAX_WAIT_MS, FIRST_WAIT_MS * 2 ** (this.#failures - 1)) * (0.75 + Math.random() / 2);
  }

  async #wait(ms, problem) {
    this.#on.state({ phase: "waiting", problem, until: Date.now() + ms });
    await new Promise((resolve) => {
      this.#endWait = resolve;
      setTimeout(resolve, ms);
    });
    this.#endWait = null;
  }
}

/** An answer that is no stream: too much traffic and trouble at the server pass, everything else is final. */
async function refusal(response) {
  const problem = parsed(await response.text()) ?? {};
  problem.status = response.status;
  const seconds = Number(response.headers.get("Retry-After"));
  const isFinal = response.status !== 429 && response.status < 500;
  return { problem, isFinal, waitMs: seconds > 0 ? seconds * 1000 : undefined };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
