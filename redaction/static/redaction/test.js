// The page "Test a redaction": sends the form, and shows the answer, one line of JSON at a time.

const form = document.getElementById("test-form");
const start = document.getElementById("test-start");
const stop = document.getElementById("test-stop");
const results = document.getElementById("test-results");
const verdict = document.getElementById("test-verdict");
const listed = document.getElementById("test-listed");
const progress = document.getElementById("test-progress");
const bar = progress.querySelector("progress");
const reached = document.getElementById("test-reached");
const events = document.getElementById("test-events");

const STEPS = { raw: "Reading what Kafka holds", served: "Reading what clients get" };
// Maximum cards of one group: a page that a bot edits has thousands of events.
const MAX_CARDS = 50;
const number = new Intl.NumberFormat("en-GB");
let running = null;
let groups = new Map();
let counts = {};

start.disabled = false;
stop.addEventListener("click", () => running?.abort());
addEventListener("pagehide", () => running?.abort());
form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!running) test();
});

async function test() {
  running = new AbortController();
  const body = new URLSearchParams(new FormData(form));
  forgetErrors();
  results.hidden = progress.hidden = stop.hidden = false;
  listed.hidden = true;
  start.disabled = true;
  if (document.activeElement === start) stop.focus();
  events.replaceChildren();
  groups = new Map();
  counts = { clean: 0, leak: 0, "not found": 0 };
  bar.removeAttribute("value");
  reached.textContent = "";
  say("", ["The test is running."]);
  results.scrollIntoView({ block: "nearest" });
  try {
    const answer = await fetch(form.action, {
      method: "POST",
      body,
      signal: running.signal,
      cache: "no-store",
      headers: { Accept: "application/json" },
    });
    if (answer.ok) await read(answer.body);
    else await refused(answer);
  } catch (error) {
    if (running.signal.aborted) say("stopped", stopped());
    else say("error", [`The connection was closed: ${error.message}`]);
  }
  const hadFocus = document.activeElement === stop;
  running = null;
  progress.hidden = stop.hidden = true;
  start.disabled = false;
  if (hadFocus) start.focus();
}

function stopped() {
  const found = `${number.format(counts.leak)} leaking, ${number.format(counts.clean)} clean`;
  const lead = counts.leak
    ? `Stopped. ${counted(counts.leak, "leak", "leaks")} found so far.`
    : "Stopped without a verdict. No leaks found so far.";
  return [lead, `Events of the page so far: ${found}, ${number.format(counts["not found"])} not served.`];
}

function counted(count, one, more) {
  return `${number.format(count)} ${count === 1 ? one : more}`;
}

async function read(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let isOver = false;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) isOver = show(JSON.parse(line)) || isOver;
  }
  if (!isOver) say("error", ["The server ended the test without a result."]);
}

function show(item) {
  if (item.progress) {
    const { step, records, time, part } = item.progress;
    if (part === null) bar.removeAttribute("value");
    else bar.value = part;
    reached.textContent = `${STEPS[step]}: ${number.format(records)} events${time ? `, up to ${time}` : ""}`;
  } else if (item.listed) {
    listed.hidden = false;
    listed.textContent = item.listed.sentence;
    listed.dataset.listed = item.listed.is_listed;
  } else if (item.event) {
    counts[item.event.verdict] += 1;
    group(item.event).add(item.event);
  } else if (item.error) {
    say("error", [item.error]);
    return true;
  } else if (item.result) {
    say(item.result.verdict, item.result.sentences);
    return true;
  }
  return false;
}

function say(kind, sentences) {
  verdict.dataset.verdict = kind;
  const [first, ...others] = sentences;
  verdict.replaceChildren(element("strong", {}, first), ...others.map((text) => element("span", {}, text)));
}

// Leaks come first and are open; everything else stands by its stream, folded.

function group(event) {
  const isLeak = event.verdict === "leak";
  const name = isLeak ? "Leaks" : event.stream;
  const key = isLeak ? "leak" : `stream ${name}`;
  let found = groups.get(key);
  if (!found) {
    found = new Group(name, isLeak);
    groups.set(key, found);
    const after = [...groups.entries()]
      .filter(([other, { isLeak: first }]) => other !== key && !isLeak && !first && other > key)
      .sort(([one], [other]) => (one < other ? -1 : 1))[0];
    if (isLeak) events.prepend(found.item);
    else if (after) after[1].item.before(found.item);
    else events.append(found.item);
  }
  return found;
}

class Group {
  constructor(name, isLeak) {
    this.isLeak = isLeak;
    this.events = [];
    this.counts = { clean: 0, leak: 0, "not found": 0 };
    this.summary = element("summary", {});
    this.name = element("bdi", {}, name);
    this.list = element("ol", { className: "test-cards" });
    this.more = element("p", { hidden: true });
    this.details = element("details", { open: isLeak }, this.summary, this.list, this.more);
    this.item = element("li", { className: "test-group" }, this.details);
    this.item.dataset.verdict = isLeak ? "leak" : "";
    this.details.addEventListener("toggle", () => this.draw());
  }

  add(event) {
    this.counts[event.verdict] += 1;
    if (this.events.length < MAX_CARDS) this.events.push(event);
    this.say();
    if (this.details.open) this.draw();
  }

  say() {
    const said = Object.entries(this.counts).filter(([, count]) => count);
    const marks = said.map(([kind, count]) => mark(kind, count));
    this.summary.replaceChildren(this.name, " ", ...marks);
  }

  draw() {
    for (const event of this.events.slice(this.list.childElementCount)) this.list.append(card(event));
    const total = Object.values(this.counts).reduce((sum, count) => sum + count, 0);
    this.more.hidden = total <= this.events.length;
    this.more.textContent = `Only the first ${this.events.length} of ${number.format(total)} are shown. To see others, choose a shorter time window, a revision id or fewer streams.`;
  }
}

function mark(kind, count) {
  const shown = element("span", { className: "test-mark" }, `${number.format(count)} ${kind}`);
  shown.dataset.verdict = kind;
  return shown;
}

function card(event) {
  const item = element("li", { className: "test-event" });
  item.dataset.verdict = event.verdict;
  const head = element("h3");
  const shown = element("strong", { className: "test-mark" }, event.verdict);
  shown.dataset.verdict = event.verdict;
  head.append(shown, " ", element("bdi", {}, event.stream));
  const facts = element("dl");
  fact(facts, "What", [event.kind, event.is_test ? "a test edit" : ""].filter(Boolean).join(", "));
  fact(facts, "Revision", event.revision);
  fact(facts, "At", event.time);
  fact(facts, "Where", `${event.topic}, partition ${event.partition}, offset ${event.offset}`);
  if (event.leaks.length) fact(facts, "Leaks", list(event.leaks.map(({ path, why }) => [path || "the whole event", why])));
  if (event.verdict !== "not found") {
    const removed = event.removed.map((path) => [path, ""]);
    fact(facts, "Removed", removed.length ? list(removed, "test-paths") : "nothing");
  }
  if (event.note) fact(facts, "Note", event.note);
  item.append(head, facts);
  if ("raw" in event) item.append(values(event));
  return item;
}

function list(entries, className = "") {
  const items = element("ul", { className });
  for (const [path, why] of entries) {
    const entry = element("li", {}, element("code", {}, path));
    if (why) entry.append(`: ${why}`);
    items.append(entry);
  }
  return items;
}

function fact(facts, name, content) {
  if (content) facts.append(element("dt", {}, name), element("dd", {}, content));
}

function values({ raw, served }) {
  const details = element("details", {}, element("summary", {}, "Content"));
  const pair = element("div", { className: "test-values" });
  for (const [name, text] of [["In Kafka", raw], ["As served", served]]) {
    const column = element("section", {}, element("h4", {}, name));
    column.append(text === null ? element("p", {}, "nothing") : element("pre", { tabIndex: 0, dir: "ltr" }, text));
    pair.append(column);
  }
  details.append(pair);
  return details;
}

async function refused(answer) {
  let said = {};
  try {
    said = await answer.json();
  } catch {
    // a page rather than JSON
  }
  if (said.errors) {
    results.hidden = true;
    showErrors(said.errors);
  } else {
    say("error", [said.error ?? `The server answered ${answer.status}. Load this page again: you may have been logged out.`]);
  }
}

function showErrors(errors) {
  for (const [name, texts] of Object.entries(errors)) {
    const field = form.elements[name];
    const row = field.closest(".form-row");
    const shown = element("ul", { className: "errorlist", id: `error-${name}` });
    shown.append(...texts.map((text) => element("li", {}, text)));
    row.prepend(shown);
    row.classList.add("errors");
    field.setAttribute("aria-invalid", "true");
    field.dataset.describedBy = field.getAttribute("aria-describedby") ?? "";
    field.setAttribute("aria-describedby", `${shown.id} ${field.dataset.describedBy}`.trim());
  }
  requestAnimationFrame(() => form.querySelector("[aria-invalid]")?.focus());
}

function forgetErrors() {
  for (const shown of form.querySelectorAll("ul.errorlist")) shown.remove();
  for (const row of form.querySelectorAll(".form-row.errors")) row.classList.remove("errors");
  for (const field of form.querySelectorAll("[aria-invalid]")) {
    field.removeAttribute("aria-invalid");
    if (field.dataset.describedBy) field.setAttribute("aria-describedby", field.dataset.describedBy);
    else field.removeAttribute("aria-describedby");
  }
}

function element(name, properties = {}, ...content) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...content);
  return made;
}
