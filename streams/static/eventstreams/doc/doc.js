// The documentation: Swagger UI for the OpenAPI document, adapted to streams.

import { grouped } from "../ui/order.js";
import { ROOT } from "../ui/root.js";
import { beginning } from "./beginning.js";
import { adapt } from "./adapt.js";

const SPEC = `${ROOT}/?spec`;
const LIST = `${ROOT}/v2/ui/streams.json`;
const STREAM_PATH = "/v2/stream/";
const RETRY_MS = 5000;

const TAG = "Streams";

const names = new Map(); // names and aliases of streams → id of the operation
const say = document.getElementById("say");

/** Returns the document; until the streams are known, the page says so and retries. */
async function loaded() {
  for (;;) {
    try {
      const answer = await fetch(SPEC, { headers: { Accept: "application/json" } });
      if (answer.ok) return await answer.json();
      const problem = await answer.json().catch(() => ({}));
      say.textContent = `${problem.detail ?? `The server answered ${answer.status}`}. Trying again in a moment.`;
    } catch {
      say.textContent = "The server cannot be reached. Trying again in a moment.";
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

/** The paths in the order of the demo page's streams, those that have no topic last; as they are without that page. */
async function ordered(paths) {
  try {
    const answer = await fetch(LIST);
    const { streams } = await answer.json();
    const names = grouped(streams).flatMap((group) => group.streams.map(({ name }) => name));
    const places = new Map(names.map((name, place) => [STREAM_PATH + encodeURIComponent(name), place]));
    const place = ([path]) => (path.endsWith("{streams}") ? -1 : (places.get(path) ?? Infinity));
    return Object.fromEntries(Object.entries(paths).sort((a, b) => compared(place(a), place(b))));
  } catch {
    return paths; // the demo page is disabled
  }
}

const compared = (a, b) => (a === b ? 0 : a - b);

/** Swagger UI would read a stream until it ends, which never happens. */
function readTheBeginning(request) {
  if (!new URL(request.url, location.href).pathname.startsWith(ROOT + STREAM_PATH)) return request;
  request.userFetch = beginning;
  // With this type, temporary problems of the server come as an event instead of an error.
  if (request.headers.accept === "*/*") request.headers.accept = "text/event-stream";
  return request;
}

/** Searches the words that a row shows; Swagger UI's own filter only knows groups. */
function opsFilter(groups, phrase) {
  const words = phrase.toLowerCase().split(/\s+/).filter(Boolean);
  const has = (operation) => {
    const about = operation.get("operation");
    const text = [operation.get("path"), about.get("summary"), about.get("description")].join(" ").toLowerCase();
    return words.every((word) => text.includes(word));
  };
  return groups
    .map((group) => group.update("operations", (operations) => operations.filter(has)))
    .filter((group) => group.get("operations").size > 0);
}

/**
 * Returns what is at a path of the document, with all references resolved. Swagger UI's own version reads the whole
 * document for each operation that is opened: ten seconds with hundreds of streams. Here, all references are internal.
 */
async function resolveSubtree(document, path) {
  const at = (keys) => keys.reduce((value, key) => value?.[key], document);
  const resolved = (value, open) => {
    if (value === null || typeof value !== "object") return value;
    if (Array.isArray(value)) return value.map((item) => resolved(item, open));
    const { $ref, ...rest } = value;
    if (typeof $ref !== "string") {
      return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, resolved(inner, open)]));
    }
    const target = at($ref.split("/").slice(1).map(unescaped));
    if (target === undefined || open.includes($ref)) return value; // circular references stay
    const found = resolved(target, [...open, $ref]);
    return typeof found === "object" ? { ...found, ...resolved(rest, open) } : found;
  };
  return { spec: resolved(at(path), []), errors: [] };
}

function unescaped(step) {
  return decodeURIComponent(step).replaceAll("~1", "/").replaceAll("~0", "~");
}

/** Lines of JSON are not one JSON value, so Swagger UI would show an error. */
const responseBody = (Original, system) => (props) => {
  const isLines = /json/i.test(props.contentType) && typeof props.content === "string" && !isJson(props.content);
  return system.React.createElement(Original, isLines ? { ...props, contentType: "text/plain" } : props);
};

/** Replaces "Filter by tag", which is not what it does here. */
const FilterContainer = (_, { React }) => ({ layoutSelectors, layoutActions }) => {
  const phrase = layoutSelectors.currentFilter();
  const box = {
    type: "search",
    className: "find",
    placeholder: "Search streams by name, topic or description",
    "aria-label": "Find a stream",
    value: typeof phrase === "string" ? phrase : "",
    onChange: (event) => layoutActions.updateFilter(event.target.value),
  };
  return React.createElement("div", { className: "wrapper" }, React.createElement("input", box));
};

/** In place of "No operations defined in spec!", which reads like an error. */
const operations = (Original, { React }) => (props) =>
  props.specSelectors.taggedOperations().size > 0
    ? React.createElement(Original, props)
    : React.createElement(
        "div",
        { className: "wrapper" },
        React.createElement("p", { className: "none" }, "No stream matches. Search for other words, or fewer."),
      );

/** A link within the button that opens a stream could not be reached; the button sets the address itself. */
const DeepLink = () => ({ text }) => text;

function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/**
 * `#/Streams/stream_<name>` and `#<name or alias>` open the operation of a stream. Swagger UI's own version reads
 * underscores as spaces, and names have underscores.
 */
const parseDeepLinkHash = (_, { layoutActions }) => (hash) => {
  const [group, operation = names.get(group)] = hash.replace(/^#\/?/, "").split("/");
  if (!group) return;
  layoutActions.show(["operations-tag", TAG], true);
  if (!operation) return;
  const shown = ["operations", TAG, operation];
  layoutActions.show(shown, true);
  layoutActions.scrollTo(shown);
  layoutActions.scrollToVirtualizedOperation(shown);
};

const Streams = () => ({
  fn: { opsFilter, resolveSubtree },
  wrapComponents: { FilterContainer, responseBody, operations, DeepLink },
  statePlugins: { layout: { wrapActions: { parseDeepLinkHash } } },
});

/** Switches Swagger UI's dark theme, a class. */
function follow(theme) {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const show = () => {
    const chosen = theme.dataset.theme;
    theme.classList.toggle("dark-mode", chosen === "dark" || (chosen === "auto" && system.matches));
  };
  system.addEventListener("change", show);
  document.addEventListener("themechange", show);
  show();
}

follow(document.documentElement);
const spec = await loaded();
spec.paths = await ordered(spec.paths);
for (const [path, { get }] of Object.entries(spec.paths)) {
  const name = decodeURIComponent(path.slice(STREAM_PATH.length));
  for (const each of [name, ...(get["x-aliases"] ?? [])]) names.set(each, get.operationId);
}
window.SwaggerUIBundle({
  spec,
  dom_id: "#swagger-ui",
  deepLinking: true,
  docExpansion: "list", // all streams, each closed
  filter: true,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  validatorUrl: null,
  requestInterceptor: readTheBeginning,
  plugins: [Streams],
  onComplete: () => {
    say.hidden = true;
    adapt(document.getElementById("swagger-ui"));
  },
});
