// The page "Test a redaction": sends the form, and shows what comes back, a line of JSON at a time.

const form = document.getElementById("test-form");
const start = document.getElementById("test-start");
const stop = document.getElementById("test-stop");
const results = document.getElementById("test-results");
const verdict = document.getElementById("test-verdict");
const progress = document.getElementById("test-progress");
const bar = progress.querySelector("progress");
const reached = document.getElementById("test-reached");
const events = document.getElementById("test-events");

const STEPS = { raw: "Reading what Kafka holds", served: "Reading what clients get" };
const number = new Intl.NumberFormat("en-GB");
let running = null;

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
  start.disabled = true;
  if (document.activeElement === start) stop.focus();
  events.replaceChildren();
  bar.removeAttribute("value");
  reached.textContent = "";
  say("", "The test is running.");
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
    if (running.signal.aborted) say("stopped", "Stopped before the end: there is no verdict. What was found so far is below.");
    else say("error", `The connection broke off: ${error.message}`);
  }
  const hadFocus = document.activeElement === stop;
  running = null;
  progress.hidden = stop.hidden = true;
  start.disabled = false;
  if (hadFocus) start.focus();
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
  if (!isOver) say("error", "The server ended the test without a result.");
}

function show(item) {
  if (item.progress) {
    const { step, records, time, part } = item.progress;
    if (part === null) bar.removeAttribute("value");
    else bar.value = part;
    reached.textContent = `${STEPS[step]}: ${number.format(records)} events${time ? `, up to ${time}` : ""}`;
  } else if (item.event) {
    events.append(card(item.event));
  } else if (item.error) {
    say("error", item.error);
    return true;
  } else if (item.result) {
    say(item.result.verdict, summary(item.result));
    return true;
  }
  return false;
}

function summary({ verdict: found, clean, leaks, not_served, records, since, until }) {
  const counts = [`${number.format(clean)} clean`, `${number.format(leaks)} leaking`];
  if (not_served) counts.push(`${number.format(not_served)} not served`);
  const window = `of ${number.format(records)} events from ${since} to ${until}`;
  if (found === "not found") {
    const what = not_served ? `${number.format(not_served)} events of the page, none of them served` : "no event of the page";
    return `Not found: ${what}, ${window}.`;
  }
  return `${found === "leak" ? "Leak" : "Clean"}: ${counts.join(", ")}, ${window}.`;
}

function say(kind, text) {
  verdict.dataset.verdict = kind;
  verdict.textContent = text;
}

function card(event) {
  const item = element("li", { className: "test-event" });
  item.dataset.verdict = event.verdict;
  const head = element("h3");
  head.append(element("strong", { className: "test-mark" }, event.verdict), " ", element("bdi", {}, event.stream));
  const place = `${event.topic}, partition ${event.partition}, offset ${event.offset}`;
  const facts = element("dl");
  fact(facts, "At", event.time);
  fact(facts, "Where", place);
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
  const details = element("details", {}, element("summary", {}, "What it holds"));
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
    say("error", said.error ?? `The server answered ${answer.status}. Load this page again: you may have been logged out.`);
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
