// What the list says of an event, whichever schema it has; and the filter.

// In these, somebody acted: where nobody is named, the name has been removed.
const HAVE_SOMEBODY =
  /^\/mediawiki\/(recentchange|page\/(change|create|delete|move|undelete|links-change|properties-change|prediction_classification_change)|revision\/(create|visibility-change|tags-change))\//;

/** A row of the list: texts are "" where the event has none; `user` is null where the name was removed. */
export function item(event, text) {
  const meta = event.meta ?? {};
  const page = event.page ?? {};
  return {
    text,
    stream: string(meta.stream) || string(meta.topic),
    at: Date.parse(meta.dt ?? event.dt),
    isCanary: meta.domain === "canary",
    type: typeOf(event, meta),
    wiki: string(event.wiki ?? event.wiki_id ?? event.database ?? meta.domain),
    title: string(event.title ?? event.page_title ?? page.page_title).replaceAll("_", " "),
    link: linkOf(event, meta),
    user: userOf(event),
  };
}

function typeOf(event, meta) {
  if (event.type === "log") return string(event.log_type || "log");
  const said = event.type ?? event.page_change_kind ?? event.changelog_kind;
  if (typeof said === "string") return said;
  // mediawiki.page-links-change and mediawiki.page_weighted_tags_change.v1 say it in their names.
  return string(meta.stream).replace(/^.*?\.(?=[a-z])/, "").replace(/^page-|\.v\d+$/g, "");
}

function userOf(event) {
  const performer = event.performer ?? event.revision?.editor;
  const name = typeof event.user === "string" ? event.user : (performer?.user_text ?? performer?.name);
  if (typeof name === "string") return name;
  return HAVE_SOMEBODY.test(event.$schema ?? "") || isEmpty(event.performer) ? null : "";
}

function isEmpty(value) {
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}

/** Only to where a browser may be sent: what is in an event is not ours. */
function linkOf(event, meta) {
  for (const candidate of [event.title_url, event.page?.page_uri, meta.uri]) {
    if (/^https?:\/\//.test(candidate)) return candidate;
  }
  return "";
}

function string(value) {
  return typeof value === "string" ? value : "";
}

/**
 * Words and `field=value`, all of which must hold; `-` before one, or `!=`, turns it round. A field is one of the
 * list's columns or a path in the event (`meta.domain`, `revision.rev_id`); a word is looked for in the whole event.
 */
export class Filter {
  #terms;

  constructor(text) {
    this.#terms = [...text.matchAll(/(-?)(?:([\w.$-]+?)(!?)=)?(?:"([^"]*)"|(\S+))/g)].map(
      ([, minus, field = "", bang = "", quoted, bare]) => ({
        field,
        wanted: (quoted ?? bare).toLowerCase(),
        isNot: Boolean(minus) !== Boolean(bang),
      }),
    );
  }

  get isEmpty() {
    return this.#terms.length === 0;
  }

  /** `event` is the item's event if it is at hand; else it is parsed again. */
  matches(item, event) {
    if (this.isEmpty) return true;
    const whole = event ?? JSON.parse(item.text);
    let haystack;
    return this.#terms.every(({ field, wanted, isNot }) => {
      if (field) return holds(item, whole, field, wanted) !== isNot;
      // Not the text as it came: it may have escapes in it.
      haystack ??= `${item.type}\n${item.title}\n${JSON.stringify(whole)}`.toLowerCase();
      return haystack.includes(wanted) !== isNot;
    });
  }
}

/** Whether the name of who acted was removed: `redacted=yes`, or no. */
export const REDACTED = "redacted";
const COLUMNS = ["type", "wiki", "title", "user", "stream"];

function holds(item, event, field, wanted) {
  const found = [field.split(".").reduce((value, key) => value?.[key], event)].flat();
  if (COLUMNS.includes(field)) found.push(item[field] ?? "redacted");
  if (field === REDACTED) found.push(item.user === null ? "yes" : "no");
  return found.some((value) => value !== undefined && String(value).toLowerCase() === wanted);
}
