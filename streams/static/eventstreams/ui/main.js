// The demo page: wires its parts together.

import { readAddress, toQuery, writeAddress } from "./address.js";
import { Begin } from "./begin.js";
import { Chart } from "./chart.js";
import { hideCopySoon, offerCopies } from "./copies.js";
import { Download } from "./download.js";
import { item } from "./events.js";
import { showFacts } from "./facts.js";
import { rememberId } from "./ids.js";
import { Ledger } from "./ledger.js";
import { EventList } from "./list.js";
import { Picker } from "./picker.js";
import { words, wordsOfEnd, wordsOfSilence } from "./problems.js";
import { ROOT } from "./root.js";
import { Silence, ask } from "./silence.js";
import { Connection } from "./sse.js";
import { $, copy, duration, isoSeconds, number } from "./text.js";
import { Wanted, endNow } from "./wanted.js";
import { Within } from "./within.js";

const RATES_MS = 30_000;
const RETRY_MS = 5000;
const APPLY_MS = 250;
const REMEMBER_MS = 5000;
const MINUTE_MS = 60_000;
const WIDE = matchMedia("(min-width: 900px)");

const picker = new Picker(changed);
const begin = new Begin(changed, resume);
const wanted = new Wanted(changed, lastHour);
const list = new EventList(
  (field, value) => within.onlyThese(field, value),
  (path, value) => wanted.add(path, value),
  (path) => within.addColumn(path),
);
const within = new Within(list, keepInAddress);
const chart = new Chart();
let ledger = new Ledger();
let silence = new Silence(ask);
let connection = null;
let isWanted = false;
let isOverChosen = false; // over which time the chart goes
let state = { phase: "stopped" };
let keepaliveSeconds = 0;
let applying = 0;
let rememberedId = "";
let inForce = null;
let watched = { choice: "", hasFilter: false }; // what the connection was made for: the form may say something else by now

// The streams and the address.

async function loadStreams() {
  try {
    const response = await fetch(`${ROOT}/v2/ui/streams.json`);
    const found = await response.json();
    if (!response.ok) throw found;
    keepaliveSeconds = found.keepalive_seconds;
    picker.fill(found);
  } catch (problem) {
    picker.say(words(problem instanceof Error ? { type: "unreachable" } : problem));
    if (!picker.isFilled) setTimeout(loadStreams, RETRY_MS);
  }
}

/** What is chosen, but for where it starts: last ids are kept under it. */
function choice() {
  return [
    ["streams", picker.chosen.join(",")],
    ...within.pairs,
    ...wanted.pairs,
  ];
}

/** The service's own parameter: how what it sends is compressed, "" for not at all. */
const compress = () => ($("compress").checked ? "auto" : "");

function keepInAddress() {
  writeAddress([...choice(), ...begin.pairs, ["compress", compress()], ["run", isWanted && "1"]]);
}

function takeFromAddress() {
  const query = readAddress();
  picker.choose((query.get("streams") ?? "").split(",").filter(Boolean));
  begin.read(query);
  wanted.read(query);
  $("compress").checked = query.has("compress");
  within.read(query);
  return query.get("run") === "1";
}

/** The address of the chosen streams, without a quote in it. */
function streamUrl(more = [], parameters = wanted.parameters) {
  const names = picker.chosen.map((name) => encodeURIComponent(name).replaceAll("'", "%27")).join(",");
  const since = begin.sinceMs;
  const pairs = [["since", since === null ? "" : isoSeconds(since)], ...parameters, ...more];
  const query = toQuery(pairs).replaceAll("'", "%27");
  return `${location.origin}${ROOT}/v2/stream/${names}${query && "?"}${query}`;
}

// Starting and stopping.

/** Why it cannot start, "" if it can. */
const obstacle = () => picker.obstacle || begin.obstacle || wanted.obstacle;

function start() {
  const isChange = isRunning();
  stop();
  const text = obstacle();
  if (text) {
    stop(text);
    if (picker.obstacle) {
      $("choice").open = true;
      $("search").focus();
    }
    return;
  }
  isWanted = true;
  watched = { choice: toQuery(choice()), hasFilter: wanted.filter.length > 0 };
  keepInAddress();
  ledger = new Ledger();
  silence = new Silence(ask);
  clear();
  pause(false);
  if (wanted.isCanariesOnly) within.showCanaries(true);
  if (!isOverChosen) showOver(begin.kind === "now" ? "arrival" : "time");
  // Make room for the events; but a person who changes the choice still needs it.
  if (!WIDE.matches && !isChange) {
    $("choice").open = false;
    scrollTo(0, 0);
  }
  const own = new Connection(streamUrl([["compress", compress()]]), begin.id, () => keepaliveSeconds * 3000, {
    state: (now) => {
      if (connection !== own) return;
      state = now;
      if (now.phase === "open") {
        ledger.opened();
        silence.opened(Date.now());
      } else silence.closed();
      if (now.phase === "open" && ledger.reconnects) loadStreams(); // what the page knows of them is from before the break
      showState();
    },
    since: (time) => {
      if (connection === own) begin.say(`The service starts from ${time.replace("T", " ").replace("Z", " UTC")}.`);
    },
    filter: (text) => {
      if (connection === own) inForce = text;
    },
    event: take,
    gap: (gaps) => {
      ledger.missing(gaps);
      showState();
    },
    idle: () => {
      ledger.isUpToDate = true;
    },
    received: (count) => {
      ledger.bytes += count;
    },
    encoding: (text) => {
      if (connection === own) ledger.encoding = text;
    },
    sent: (count) => {
      if (connection === own) ledger.sentBytes += count;
    },
  });
  connection = own;
  own.run();
}

/** `text` says why, where nobody pressed Stop. */
function stop(text = "") {
  const old = connection;
  remember();
  begin.say("");
  connection = null;
  isWanted = false;
  rememberedId = "";
  inForce = null;
  old?.stop();
  silence.closed();
  state = { phase: "stopped", text };
  keepInAddress();
  showState();
}

/** A change of what is to be shown takes effect at once, as soon as the hand has come to rest. */
function changed() {
  keepInAddress();
  hideCopySoon();
  clearTimeout(applying);
  if (!connection) {
    if (state.text) state = { phase: "stopped" };
    begin.say("");
    showState();
  } else if (picker.obstacle) stop(`Stopped. ${picker.obstacle}`);
  else if (begin.obstacle) begin.say(begin.obstacle + (isRunning() ? " Until then the stream continues as it was." : ""));
  else if (wanted.obstacle) showState();
  else {
    // The remark goes then, too: nothing may move away below a pointer that presses something just now.
    applying = setTimeout(() => connection && !obstacle() && start(), APPLY_MS);
  }
}

/** For a first visit: an active stream, and a quiet one from an hour ago. */
function watchAtOnce() {
  const { name, rate } = picker.forNewcomers;
  picker.choose([name]);
  begin.read(new URLSearchParams(rate > 0.2 ? "" : "since=hour"));
  start();
  $("toggle").focus(); // the button that was pressed is gone
}

function lastHour() {
  begin.read(new URLSearchParams("since=hour"));
  if (picker.obstacle || connection) changed();
  else start();
}

function resume(choice, id) {
  history.replaceState(null, "", `#/?${choice}&${toQuery([["id", id]])}`);
  takeFromAddress();
  start();
}

/** Keep the last id in this browser. */
function remember() {
  const id = connection?.lastId;
  if (!id || id === rememberedId) return;
  rememberedId = id;
  rememberId(watched.choice, id);
  $("ids-box").hidden = false;
  if ($("ids-box").open) begin.showIds(resume);
}

function take({ data, id }) {
  const event = JSON.parse(data);
  const one = item(event, data);
  ledger.take(event, one.at, id);
  const wasSilent = silence.forMs !== null;
  silence.event(Date.now(), one.at);
  if (wasSilent) showState();
  if (one.isCanary) ledger.canaries += 1;
  if (!one.isCanary || within.hasCanaries) chart.add(one);
  list.add(one, event);
  wanted.saw(event);
}

/** What is shown and counted; not what the order of events is checked against. */
function clear() {
  ledger.clear();
  list.clear();
  chart.clear();
  showState();
}

function pause(isPaused) {
  list.pause(isPaused);
  $("pause").textContent = isPaused ? "Resume" : "Pause";
}

// What the page says.

const PHASES = {
  stopped: "Not connected",
  connecting: "Connecting",
  open: "Connected",
  silent: "Connected, but no events arrive",
  waiting: "Disconnected",
  refused: "Refused",
  ended: "Ended",
};

const NO_FILTER = "This server did not apply the filter: it sends all events.";

const isRunning = () => connection && !["refused", "ended"].includes(state.phase);

function showState() {
  const { problem, text, end } = state;
  const isIgnored = state.phase === "open" && inForce === "" && watched.hasFilter;
  const silent = silence.forMs === null ? "" : wordsOfSilence(silence);
  const phase = silent ? "silent" : state.phase;
  if ($("phase").textContent !== PHASES[phase]) $("phase").textContent = PHASES[phase];
  $("phase").dataset.phase = phase;
  const isNew = !picker.chosen.length && !connection;
  $("welcome").hidden = !isNew;
  $("toggle").textContent = isRunning() ? "Stop" : "Start";
  $("toggle").classList.toggle("is-primary", !isNew && $("toggle").textContent === "Start");
  const said = problem ? words(problem) : end ? wordsOfEnd(end) : text || (isIgnored ? NO_FILTER : silent);
  // Outside of what screen readers are told at each change.
  $("silent").textContent = silent ? `No events for ${duration(silence.forMs)}.` : "";
  if ($("said").textContent !== said) $("said").textContent = said;
  $("problem").hidden = !said;
  $("problem").dataset.phase = phase;
  $("retry").hidden = phase !== "waiting";
  wanted.show(state.phase === "open" ? inForce : null);
  list.isOpen = state.phase === "open";
  const since = Math.max(ledger.startedAt, Date.now() - MINUTE_MS + 1000); // the current second is one of the minute
  const seconds = Math.min(MINUTE_MS, Date.now() - ledger.startedAt) / 1000;
  showFacts(state, ledger, Boolean(silent), { seconds: Math.ceil(seconds), ...chart.recent(since) });
  const id = connection?.lastId ?? "";
  $("last-id").textContent = id || "–";
  $("copy-id").hidden = !id;
  const hidden = within.hasCanaries ? 0 : ledger.canaries;
  $("canary-count").textContent = hidden ? ` (${number(hidden)} hidden)` : "";
}

function showOver(over) {
  $("over").value = over;
  chart.isByTime = over === "time";
}

// What a download of all events asks for: it has an end, and has no canary events where the page shows none.

function replay() {
  const more = [];
  const asked = new Map(wanted.parameters);
  if (!asked.has("until") && !asked.has("limit")) more.push(["until", endNow()]);
  if (!asked.has("canary") && !within.hasCanaries) more.push(["canary", "false"]);
  return [...wanted.parameters, ...more];
}

function whyNoReplay() {
  if (obstacle()) return obstacle();
  const isBounded = begin.kind !== "now" || wanted.limit !== null || wanted.untilMs !== null;
  return isBounded ? "" : "Choose a start in the past, or an end: without one there is nothing to download yet.";
}

// Wiring.

offerCopies(obstacle, () => streamUrl([["lastEventId", begin.id]]));
$("choice-form").addEventListener("submit", (event) => event.preventDefault());
$("watch").addEventListener("click", watchAtOnce);
$("toggle").addEventListener("click", () => (isRunning() ? stop() : start()));
$("pause").addEventListener("click", () => pause(!list.isPaused));
$("clear").addEventListener("click", clear);
$("retry").addEventListener("click", () => connection?.retryNow());
$("over").addEventListener("change", ({ target }) => {
  isOverChosen = true;
  showOver(target.value);
});
$("by").addEventListener("change", ({ target }) => {
  chart.by = target.value;
});
$("copy-id").addEventListener("click", async () => {
  const done = await copy(connection?.lastId ?? "");
  $("copy-id").textContent = done ? "Copied" : "Could not copy";
  setTimeout(() => ($("copy-id").textContent = "Copy"), 2000);
});
new Download({
  obstacle: whyNoReplay,
  url: () => streamUrl([], replay()),
  id: () => begin.id,
  span: () => [begin.sinceMs, wanted.untilMs ?? Date.now()],
  limit: () => wanted.limit,
  columns: () => within.columns,
  shown: () => list.texts,
  silenceMs: () => keepaliveSeconds * 3000,
});
for (const link of document.querySelectorAll(".skip")) {
  link.addEventListener("click", (event) => {
    event.preventDefault(); // the address has its own use of the part after #
    $(link.dataset.to).focus();
  });
}
addEventListener("hashchange", () => {
  if (takeFromAddress()) start();
  else changed();
});
addEventListener("pagehide", remember);
function unfoldWhereThereIsRoom() {
  $("choice").open = WIDE.matches || !isWanted;
  $("chart-box").open = $("want").open = WIDE.matches;
}
WIDE.addEventListener("change", unfoldWhereThereIsRoom);
setInterval(() => {
  chart.draw();
  if (!document.hidden) silence.check(Date.now(), wanted.filter.length ? 0 : picker.rate);
  showState();
}, 1000);
setInterval(() => document.hidden || loadStreams(), RATES_MS);
setInterval(remember, REMEMBER_MS);

const wasRunning = takeFromAddress();
unfoldWhereThereIsRoom();
showState();
chart.draw();
loadStreams();
if (wasRunning) start();
