// The demo page: wires its parts together.

import { Chart } from "./chart.js";
import { Filter, item } from "./events.js";
import { Ledger } from "./ledger.js";
import { EventList } from "./list.js";
import { Picker } from "./picker.js";
import { words, wordsOfSilence } from "./problems.js";
import { Silence, ask } from "./silence.js";
import { SNIPPETS } from "./snippets.js";
import { Connection } from "./sse.js";
import { $, bytes, clock, copy, duration, h, isoSeconds, number, perSecond } from "./text.js";

const HOUR_MS = 3_600_000;
const RATES_MS = 30_000;
const APPLY_MS = 400;
const LIVE_MS = 10_000;
const WIDE = matchMedia("(min-width: 900px)");

const picker = new Picker(changed);
const list = new EventList(onlyThese);
const chart = new Chart();
let ledger = new Ledger();
let silence = new Silence(ask);
let connection = null;
let state = { phase: "stopped" };
let keepaliveSeconds = 0;
let applying = 0;

// The streams and the address.

async function loadStreams() {
  try {
    const response = await fetch("/v2/ui/streams.json");
    const found = await response.json();
    if (!response.ok) throw found;
    keepaliveSeconds = found.keepalive_seconds;
    picker.fill(found);
  } catch (problem) {
    picker.say(words(problem instanceof Error ? { type: "unreachable" } : problem));
  }
}

/** `#/?streams=a,b`, as the old demo page had it. */
function readAddress() {
  const query = new URLSearchParams(location.hash.split("?")[1] ?? "");
  picker.choose((query.get("streams") ?? "").split(",").filter(Boolean));
}

function writeAddress() {
  const names = picker.chosen.map(encodeURIComponent).join(",");
  history.replaceState(null, "", names ? `#/?streams=${names}` : "#/");
}

function sinceMs() {
  const { value } = document.querySelector("[name=start]:checked");
  if (value === "hour") return Date.now() - HOUR_MS;
  return value === "date" ? Date.parse(`${$("date").value}Z`) : null;
}

/** Where the chosen streams are, without a quote in it. */
function streamUrl() {
  const names = picker.chosen.map((name) => encodeURIComponent(name).replaceAll("'", "%27")).join(",");
  const since = sinceMs();
  return `${location.origin}/v2/stream/${names}${since === null ? "" : `?since=${isoSeconds(since)}`}`;
}

// Starting and stopping.

/** Why it cannot start, "" if it can. */
function obstacle() {
  if (!picker.chosen.length) return "Choose a stream first.";
  if (picker.chosen.length > picker.maxStreams) return `At most ${picker.maxStreams} streams can be joined.`;
  return Number.isNaN(sinceMs()) ? "Give the date to start from." : "";
}

function start() {
  stop();
  const text = obstacle();
  if (text) {
    state = { phase: "stopped", text };
    if (!picker.chosen.length) $("search").focus();
    showState();
    return;
  }
  ledger = new Ledger();
  silence = new Silence(ask);
  clear();
  pause(false);
  if (!WIDE.matches) {
    $("choice").open = false;
    scrollTo(0, 0);
  }
  const own = new Connection(streamUrl(), keepaliveSeconds * 3000, {
    state: (now) => {
      if (connection !== own) return;
      state = now;
      if (now.phase === "open") {
        ledger.opened();
        silence.opened(Date.now());
      } else silence.closed();
      if (now.phase === "open" && ledger.reconnects) loadStreams(); // what is said of them is from before the break
      showState();
    },
    since: (time) => {
      if (connection === own) sayStart(`The service starts from ${time.replace("T", " ").replace("Z", " UTC")}.`);
    },
    event: take,
    gap: (gaps) => {
      ledger.missing(gaps);
      showFacts();
    },
    idle: () => {
      ledger.isUpToDate = true;
    },
    received: (count) => {
      ledger.bytes += count;
    },
  });
  connection = own;
  own.run();
}

/** What the service made of the date that was chosen. */
function sayStart(text) {
  $("understood").textContent = text;
}

function stop() {
  const old = connection;
  sayStart("");
  connection = null;
  old?.stop();
  silence.closed();
  state = { phase: "stopped" };
  showState();
}

/** A change of what is to be shown takes effect at once, as soon as the hand has come to rest. */
function changed() {
  writeAddress();
  hideSnippet();
  clearTimeout(applying);
  if (!connection) showState();
  else if (obstacle()) stop();
  else applying = setTimeout(() => connection && start(), APPLY_MS);
}

function take({ data, id }) {
  const event = JSON.parse(data);
  const one = item(event, data);
  ledger.take(event, one.at, id);
  const wasSilent = silence.forMs !== null;
  silence.event(Date.now(), one.at);
  if (wasSilent) showState();
  if (one.isCanary) ledger.canaries += 1;
  if (!one.isCanary || $("canaries").checked) chart.add(one);
  list.add(one, event);
}

/** What is shown and counted; not what the order of events is checked against. */
function clear() {
  ledger.clear();
  list.clear();
  chart.clear();
  showFacts();
}

function pause(isPaused) {
  list.pause(isPaused);
  $("pause").textContent = isPaused ? "Resume" : "Pause";
}

// What is said.

const PHASES = {
  stopped: "Not connected",
  connecting: "Connecting",
  open: "Connected",
  silent: "Connected, but no events arrive",
  waiting: "Disconnected",
  refused: "Refused",
};

function showState() {
  const { problem, text } = state;
  const silent = silentWords();
  const phase = silent ? "silent" : state.phase;
  if ($("phase").textContent !== PHASES[phase]) $("phase").textContent = PHASES[phase];
  $("phase").dataset.phase = phase;
  $("toggle").textContent = connection && phase !== "refused" ? "Stop" : "Start";
  $("toggle").classList.toggle("is-primary", $("toggle").textContent === "Start");
  const said = problem ? words(problem) : (text ?? silent);
  // Outside of what screen readers are told at each change.
  $("silent").textContent = silent ? `No events for ${duration(silence.forMs)}.` : "";
  if ($("said").textContent !== said) $("said").textContent = said;
  $("problem").hidden = !said;
  $("problem").dataset.phase = phase;
  $("retry").hidden = phase !== "waiting";
  showFacts();
}

const silentWords = () => (silence.forMs === null ? "" : wordsOfSilence(silence));

function showFacts() {
  const { phase, until } = state;
  const isOpen = phase === "open";
  $("next").textContent = phase === "waiting" ? `Trying again in ${duration(Math.max(1000, until - Date.now()))}.` : "";
  fact("since", isOpen ? clock(ledger.openSince) : "–", isOpen ? `for ${duration(Date.now() - ledger.openSince)}` : "");
  fact("reconnects", number(ledger.reconnects));
  fact("events", number(ledger.events), `${perSecond(ledger.perSecond)} per second`);
  fact("bytes", bytes(ledger.bytes), ledger.events ? `${bytes(ledger.bytes / ledger.events)} an event` : "");
  fact("repeated", number(ledger.repeated), `${number(ledger.skipped)} offsets skipped`);
  const last = ledger.gaps.at(-1);
  fact("gaps", number(ledger.gaps.length), last ? `last in ${last.topic}` : "said by the server");
  fact("behind", ...(silentWords() ? ["–", "nothing arrives"] : behind()));
  fact("last", ledger.lastAt === null ? "–" : duration(Date.now() - ledger.lastAt), ledger.lastAt === null ? "" : "ago");
  const id = connection?.lastId ?? "";
  $("last-id").textContent = id || "–";
  $("copy-id").hidden = !id;
  const hidden = $("canaries").checked ? 0 : ledger.canaries;
  $("canary-count").textContent = hidden ? ` (${number(hidden)} hidden)` : "";
}

function behind() {
  const { lagMs, isUpToDate } = ledger;
  if (lagMs === null) return ["–", ""];
  if (lagMs < LIVE_MS) return [`${(lagMs / 1000).toFixed(1)} s`, "live"];
  return isUpToDate ? ["0 s", "live, but a quiet stream"] : [duration(lagMs), "replaying history"];
}

function fact(name, value, note = "") {
  const box = $(`fact-${name}`);
  const [first, second] = box.children;
  if (first.textContent !== value) first.textContent = value;
  if (second.textContent !== note) second.textContent = note;
}

// Copies.

function hideSnippet() {
  $("snippet").hidden = true;
  for (const button of $("copy-as").querySelectorAll("button")) button.ariaPressed = "false";
}

async function showSnippet(name, button) {
  const isShown = button.ariaPressed === "true";
  hideSnippet();
  if (isShown) return;
  const why = picker.chosen.length && !Number.isNaN(sinceMs()) ? "" : obstacle();
  const text = why ? "" : SNIPPETS[name](streamUrl());
  button.ariaPressed = "true";
  $("snippet").hidden = false;
  $("code").textContent = text;
  $("code").hidden = !text;
  const copied = text && (await copy(text));
  $("copied").textContent = why || (copied ? `${name} copied; it runs as it stands.` : "Select it to copy it.");
}

// The filter.

function applyFilter() {
  list.show({ filter: new Filter($("filter").value) });
}

function onlyThese(field, value) {
  const term = `${field}=${/\s/.test(value) ? `"${value}"` : value}`;
  const others = $("filter").value.replace(new RegExp(`(^|\\s)${field}=("[^"]*"|\\S+)`), "").trim();
  $("filter").value = [others, term].filter(Boolean).join(" ");
  applyFilter();
  $("filter").focus();
}

// Wiring.

for (const name of Object.keys(SNIPPETS)) {
  const button = h("button", { type: "button", ariaPressed: "false" }, name);
  button.addEventListener("click", () => showSnippet(name, button));
  $("copy-as").append(button);
}
$("choice-form").addEventListener("submit", (event) => event.preventDefault());
$("toggle").addEventListener("click", () => (connection && state.phase !== "refused" ? stop() : start()));
$("pause").addEventListener("click", () => pause(!list.isPaused));
$("clear").addEventListener("click", clear);
$("retry").addEventListener("click", () => connection?.retryNow());
$("filter").addEventListener("input", applyFilter);
$("canaries").addEventListener("change", ({ target }) => list.show({ showsCanaries: target.checked }));
$("by").addEventListener("change", ({ target }) => {
  chart.by = target.value;
});
for (const radio of document.querySelectorAll("[name=start]")) radio.addEventListener("change", changed);
$("date").addEventListener("input", () => {
  document.querySelector("[name=start][value=date]").checked = true;
  changed();
});
$("copy-id").addEventListener("click", async () => {
  const done = await copy(connection?.lastId ?? "");
  $("copy-id").textContent = done ? "Copied" : "Could not copy";
  setTimeout(() => ($("copy-id").textContent = "Copy"), 2000);
});
$("save").addEventListener("click", () => {
  const url = URL.createObjectURL(new Blob(list.texts.map((text) => `${text}\n`), { type: "application/x-ndjson" }));
  h("a", { href: url, download: "events.ndjson" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
});
$("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address has its own use of the part after #
  $("events").focus();
});
addEventListener("hashchange", () => {
  readAddress();
  if (connection) changed();
});
WIDE.addEventListener("change", () => {
  $("choice").open = true;
});
setInterval(() => {
  chart.draw();
  if (!document.hidden) silence.check(Date.now(), picker.rate);
  showState();
}, 1000);
setInterval(() => document.hidden || loadStreams(), RATES_MS);

$("date").value = isoSeconds(Date.now() - 24 * HOUR_MS).slice(0, 16);
readAddress();
list.show({ filter: new Filter($("filter").value), showsCanaries: $("canaries").checked });
showState();
chart.draw();
loadStreams();
