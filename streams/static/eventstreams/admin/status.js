// The status page: asks for the status every few seconds and shows it.

import { plot } from "./status_plot.js";

const POLL_MS = 3000;
const PATIENCE_MS = 15000;

const root = document.getElementById("status");
let token = root.dataset.token;
let shownAt = null;

const number = (value) =>
  value === null || value === undefined ? "unknown" : value.toLocaleString("en-GB", { maximumFractionDigits: value < 10 ? 1 : 0 });

function bytes(value) {
  if (value === null || value === undefined) return "unknown";
  for (const [size, unit] of [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"]]) {
    if (value >= size) return `${number(value / size)}\u00a0${unit}`;
  }
  return `${number(value)}\u00a0B`;
}

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "unknown";
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (seconds >= 2 * size) return `${Math.floor(seconds / size)}\u00a0${unit}`;
  }
  return seconds > 0 && seconds < 0.1 ? `${Math.round(seconds * 1000)}\u00a0ms` : `${number(seconds)}\u00a0s`;
}

const counted = (count, one, many) => `${number(count)} ${count === 1 ? one : many}`;

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

// A part of the page: a heading and what follows it.
function part(title, ...content) {
  const section = element("section", undefined, "module status-part");
  section.append(element("h2", title), ...content);
  return section;
}

// Rows are arrays of texts, or { text, bad } for what is to be seen first.
function table(heads, rows, none) {
  if (!rows.length) return element("p", none, "admin-quiet status-none");
  const wide = element("div", undefined, "admin-wide");
  wide.tabIndex = 0;
  const made = element("table");
  const head = element("tr");
  for (const text of heads) {
    const cell = element("th", text);
    cell.scope = "col";
    head.append(cell);
  }
  made.append(element("thead"), element("tbody"));
  made.tHead.append(head);
  for (const row of rows) {
    const line = element("tr");
    for (const cell of row) {
      const { text, bad } = typeof cell === "object" ? cell : { text: cell, bad: false };
      line.append(element("td", text, bad ? "status-bad" : ""));
    }
    made.tBodies[0].append(line);
  }
  wide.append(made);
  return wide;
}

function facts(pairs) {
  const list = element("dl", undefined, "status-facts");
  for (const [name, text, bad] of pairs) {
    const pair = element("div");
    pair.append(element("dt", name), element("dd", text, bad ? "status-bad" : ""));
    list.append(pair);
  }
  return list;
}

const flag = (value, bad, show = number) => ({ text: show(value), bad });

function kafka(status) {
  const found = status.kafka;
  if (!found) return part("Kafka", element("p", "No worker has answered.", "status-none"));
  return part(
    "Kafka",
    facts([
      ["State", found.up ? "read" : found.available ? "not read" : "away", !found.up],
      ["Partitions read", number(found.partitions)],
      ["not read", number(found.unread), found.unread > 0],
      ["without a leader", number(found.leaderless), found.leaderless > 0],
      ["Lag", found.lag_records === null ? "unknown" : `${counted(found.lag_records, "record", "records")}, ${duration(found.lag_seconds)}`, found.lag_records === null || found.lag_seconds > 5],
      ["Held by transactions", counted(found.held_records, "record", "records"), found.held_records > 0],
    ]),
    table(
      ["Broker", "Address", "Leads", "State"],
      found.brokers.map((each) => [
        each.node === null ? "–" : String(each.node), each.address, number(each.leads), { text: each.problem || "no trouble", bad: Boolean(each.problem) },
      ]),
      "No broker is known.",
    ),
    ...(found.behind.length
      ? [table(
          ["Partition that lags", "Records", "Last read"],
          found.behind.map((each) => [`${each.topic} ${each.partition}`, found.up ? number(each.lag_records) : "unknown", flag(each.age_seconds, each.age_seconds > 5, (age) => `${duration(age)} ago`)]),
          "",
        )]
      : []),
  );
}

function workers(status) {
  return part(
    status.workers.length === 1 ? "Process" : "Workers",
    table(
      ["Worker", "State", "Streams", "Connections", "Memory", "Event loop late", "Up", "Restarts"],
      status.workers.map((each) => [
        String(each.worker), { text: each.ready ? "ready" : each.state === "ready" ? "not ready" : each.state, bad: !each.ready }, number(each.open), number(each.connections), bytes(each.rss_bytes),
        flag(each.loop_lag_seconds, each.loop_lag_seconds > 0.5, (late) => (late === null ? "unknown" : `${(late * 1000).toFixed(0)}\u00a0ms`)),
        duration(each.seconds), flag(each.restarts ?? 0, each.restarts > 0),
      ]),
      "There are no workers.",
    ),
  );
}

function streams(status) {
  const names = status.workers.map((each) => String(each.worker));
  const several = names.length > 1;
  return part(
    "Clients by stream",
    table(
      ["Stream", "Clients", ...(several ? names.map((name) => `Worker ${name}`) : [])],
      status.streams.slice(0, 100).map((each) => [
        each.stream, number(each.clients), ...(several ? names.map((name) => number(each.by_worker[name] ?? 0)) : []),
      ]),
      "No client is connected.",
    ),
    ...(status.streams.length > 100 ? [element("p", `and ${status.streams.length - 100} more streams: the JSON has them.`, "status-none")] : []),
  );
}

function slowest(status) {
  return part(
    "Slowest clients",
    table(
      ["Network", "Streams", "Filter", "Behind", "Takes nothing for", "Open", "Events", "Worker"],
      status.slowest.map((each) => [
        each.network || "hidden", each.streams.join(", "), each.filter || "–", flag(each.behind_seconds, each.behind_seconds > 60, duration), duration(each.stalled_seconds),
        duration(each.open_seconds), number(each.events), String(each.worker),
      ]),
      "All clients keep up.",
    ),
  );
}

const ALWAYS_BAD = /^(internal_error|overloaded|kafka_unavailable|no_redaction_list|fault|withheld|error_)/;

function counts(title, found, none) {
  const rows = Object.entries(found).filter(([, each]) => each.all).sort(([, a], [, b]) => b.hour - a.hour || b.all - a.all);
  return part(
    title,
    table(
      ["Kind", "Last hour", "Since the start"],
      rows.map(([name, each]) => [name, flag(each.hour, each.hour > 0 && ALWAYS_BAD.test(name)), number(each.all)]),
      none,
    ),
  );
}

function rest(status) {
  const { list, sync, schemas, database, history } = status;
  const since = sync.good_at ? status.at - sync.good_at : null;
  const lacking = Object.entries(schemas).filter(([state, count]) => state !== "found" && count);
  return part(
    "List, configuration, database",
    facts([
      ["Redacted pages", list.pages === null ? "unknown" : number(list.pages), list.missing > 0],
      ["List read", list.age_seconds === null || list.age_seconds === undefined ? "never" : `${duration(list.age_seconds)} ago`, !(list.age_seconds < 10)],
      ["Pages held", number(list.held ?? 0), list.held > 0],
      ["Streams", number(sync.streams)],
      ["Configuration fetched", since === null ? "never" : `${duration(since)} ago (last: ${sync.outcome})`, sync.outcome === "failed" || sync.outcome === "held" || since === null],
      ["Schemas found", number(schemas.found ?? 0)],
      ...lacking.map(([state, count]) => [`Schemas ${state}`, number(count), true]),
      ["Database answers in", duration(database.seconds), database.seconds > 1],
      ["known from it", database.age_seconds === null ? "nothing" : `${duration(database.age_seconds)} ago`, database.age_seconds > 5],
      ["History readers", `${number(history.readers)} of ${number(history.limit)} busy`],
      ["waiting for one", number(history.waiting), history.waiting > 0],
    ]),
  );
}

const WORDS = { ready: "Ready", degraded: "Degraded", unready: "Not ready" };

function showTrouble(status) {
  document.querySelector(".trouble")?.remove();
  if (!status.problems.length) return;
  const bar = element("div", undefined, "trouble");
  bar.setAttribute("role", "alert");
  const what = element("p");
  what.append(element("strong", status.state === "unready" ? "The service is not ready to serve streams:" : "The service has problems:"));
  const list = element("ul");
  list.append(...status.problems.map((text) => element("li", text)));
  bar.append(what, list);
  document.getElementById("header").after(bar);
}

let said = "";

function show(status) {
  const problems = JSON.stringify([status.state, status.problems]);
  if (problems !== said) showTrouble(status); // a reader of screens is told only what is new
  said = problems;
  const { points } = status.hour;
  const series = (name) => points[name] ?? [];
  const open = status.workers.reduce((sum, each) => sum + (each.open ?? 0), 0);
  const summary = document.getElementById("status-summary");
  summary.replaceChildren(
    element("strong", WORDS[status.state], `status-state status-${status.state}`),
    ` ${counted(open, "client", "clients")} on ${counted(status.workers.length, "process", "processes")}`,
  );
  const note = document.getElementById("status-note");
  note.hidden = !status.note;
  note.textContent = status.note;
  document.getElementById("status-plots").replaceChildren(
    plot("Clients", series("clients"), number),
    plot("Events sent per second", series("events_sent"), number),
    plot("Bytes sent per second", series("bytes_sent"), bytes),
    plot("Events read per second", series("events_read"), number),
    plot("Lag behind Kafka", series("lag_seconds"), duration),
    plot("Event loop late by", series("loop_lag_seconds"), (late) => `${(late * 1000).toFixed(0)} ms`),
  );
  document.getElementById("status-parts").replaceChildren(
    workers(status), kafka(status), streams(status), slowest(status), rest(status),
    counts("Errors that clients got", status.errors, "None."),
    counts("Records withheld or skipped", status.skipped, "None."),
    counts("Streams that ended", status.ends, "None."),
    counts("Faults of the service", status.faults, "None."),
  );
}

function showStale(why) {
  const stale = document.getElementById("status-stale");
  stale.hidden = !why;
  const age = shownAt === null ? "" : ` What follows is ${duration((Date.now() - shownAt) / 1000)} old.`;
  stale.textContent = why ? `${why}${age}` : "";
}

async function ask() {
  let answer;
  try {
    answer = await fetch(root.dataset.url, { headers: { "X-Status-Token": token }, signal: AbortSignal.timeout(PATIENCE_MS) });
  } catch {
    return "The server does not answer.";
  }
  if (answer.status === 403) return "You are no longer logged in as staff. Log in again.";
  if (!answer.ok) return "The server cannot say how it is: the database may be away. See /readyz.";
  token = answer.headers.get("X-Status-Token") ?? token;
  try {
    show(await answer.json());
  } catch {
    return "The server's answer was cut off.";
  }
  shownAt = Date.now();
  return "";
}

async function run() {
  if (!document.hidden) showStale(await ask());
  setTimeout(run, POLL_MS);
}

run();
