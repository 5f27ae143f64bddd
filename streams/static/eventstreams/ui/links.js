// Where a wiki has more about an event: its page, the difference, the history, what its user did.
//
// What is in an event is not ours: addresses are built from its host and numbers, encoded, and always over HTTPS.

const HOST = /^(?=.{4,253}$)([a-z\d]([a-z\d-]{0,61}[a-z\d])?\.)+[a-z][a-z\d-]*[a-z\d]$/i;
const SCRIPT_PATH = /^(\/[\w-]+){0,4}$/;

/** `{text, href}` of each; `one` is the row of the event (events.js). None for an event of no wiki. */
export function linksOf(event, one) {
  const script = scriptOf(event);
  if (!script) return [];
  const to = (text, parameters) => ({ text, href: `${script}/index.php?${new URLSearchParams(parameters)}` });
  const links = [];
  const { now, before } = revisions(event);
  if (now && before) links.push(to("Difference", { diff: now, oldid: before }));
  else if (now) links.push(to("Revision", { oldid: now }));
  if (one.title) links.push(to("Page", { title: one.title }), to("History", { title: one.title, action: "history" }));
  if (one.user) links.push(to("User’s contributions", { title: `Special:Contributions/${one.user}` }));
  return links;
}

function scriptOf(event) {
  const host = hostOf(event.server_url) ?? event.meta?.domain;
  if (typeof host !== "string" || !HOST.test(host)) return "";
  const path = event.server_script_path;
  return `https://${host}${typeof path === "string" && SCRIPT_PATH.test(path) ? path : "/w"}`;
}

/** Only the host: neither a port nor a user name is anything that a wiki's address has. */
function hostOf(url) {
  const [, host] = /^(?:https?:)?\/\/([^/?#\\]+)\/?$/.exec(typeof url === "string" ? url : "") ?? [];
  return host;
}

/** The numbers of the revision that the event made, and of the one before it; undefined where there is none. */
function revisions({ revision, prior_state: prior, rev_id: id, rev_parent_id: parent }) {
  const number = (...all) => all.find((one) => Number.isSafeInteger(one) && one > 0);
  return {
    now: number(revision?.new, revision?.rev_id, id),
    before: number(revision?.old, revision?.rev_parent_id, prior?.revision?.rev_id, parent),
  };
}
