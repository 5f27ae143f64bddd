// Follow streams with Node's package eventsource, one event (JSON) per line; resume after the last event, even after a
// restart.
//
//   npm install
//   node follow.mjs [URL [FILE]]
//
// FILE keeps the id of the last event; without that file, streaming starts now. Use one file per URL.

import { EventSource } from "eventsource";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const url = process.argv[2] ?? "http://127.0.0.1:8092/v2/stream/recentchange";
const file = process.argv[3] ?? fileURLToPath(import.meta.url).replace(/mjs$/, "last-id");
let lastId = existsSync(file) ? readFileSync(file, "utf8") : "";

function follow() {
  const source = new EventSource(url, {
    // A source resends its own ids; we send the id of an earlier source, or of an earlier run.
    fetch: (address, init) => fetch(address, { ...init, headers: { "Last-Event-ID": lastId, ...init.headers } }),
  });
  source.addEventListener("message", ({ data, lastEventId }) => {
    const event = JSON.parse(data);
    if (event.meta.domain !== "canary") console.log(JSON.stringify(event)); // canary: a test event
    lastId = lastEventId;
    writeFileSync(`${file}.new`, lastId); // replaced as a whole, never half written
    renameSync(`${file}.new`, file);
  });
  source.addEventListener("end", ({ lastEventId }) => {
    writeFileSync(file, lastEventId);
    process.exit(); // of `until` or `limit`
  });
  // Not `onerror`, which does not get the server's own `event: error`.
  source.addEventListener("error", ({ data, message, code }) => {
    if (code === 204) process.exit(); // all events before `until` are here
    console.error(data ? `error from the server: ${data}` : `reconnecting: ${message ?? "the connection has ended"}`);
    if (source.readyState !== EventSource.CLOSED) return; // it reconnects automatically
    if (code < 500 && code !== 429) process.exit(1); // the request is wrong: there is no such stream, or the id is of another one
    setTimeout(follow, 5000);
  });
}

follow();
