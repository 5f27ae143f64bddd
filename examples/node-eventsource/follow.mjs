// Follows streams with Node's package eventsource, one event (JSON) a line; goes on after the last event, also when it
// is restarted.
//
//   npm install
//   node follow.mjs [URL [FILE]]
//
// FILE keeps the id of the last event; without such a file it starts from now. One file is for one URL.

import { EventSource } from "eventsource";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const url = process.argv[2] ?? "http://127.0.0.1:8092/v2/stream/recentchange";
const file = process.argv[3] ?? fileURLToPath(import.meta.url).replace(/mjs$/, "last-id");
let lastId = existsSync(file) ? readFileSync(file, "utf8") : "";

function follow() {
  const source = new EventSource(url, {
    // A source sends the ids that it has had itself; the one of an earlier source, or an earlier start, is ours to send.
    fetch: (address, init) => fetch(address, { ...init, headers: { "Last-Event-ID": lastId, ...init.headers } }),
  });
  source.addEventListener("message", ({ data, lastEventId }) => {
    const event = JSON.parse(data);
    if (event.meta.domain !== "canary") console.log(JSON.stringify(event)); // canary: a probe of the pipeline
    lastId = lastEventId;
    writeFileSync(`${file}.new`, lastId); // whole or not at all
    renameSync(`${file}.new`, file);
  });
  // Not `onerror`, which is not told of the server's own `event: error`.
  source.addEventListener("error", ({ data, message, code }) => {
    console.error(data ? `the server says: ${data}` : `connecting again: ${message ?? "the connection has ended"}`);
    if (source.readyState !== EventSource.CLOSED) return; // it comes back by itself
    if (code < 500 && code !== 429) process.exit(1); // the request is wrong: no such stream, or an id of another one
    setTimeout(follow, 5000);
  });
}

follow();
