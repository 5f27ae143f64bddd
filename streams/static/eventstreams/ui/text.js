// Elements and texts.

/** An element; `props` are properties of it, or attributes where it has no such property. */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

export const $ = (id) => document.getElementById(id);

const NUMBER = new Intl.NumberFormat("en-GB");
const SMALL = new Intl.NumberFormat("en-GB", { maximumSignificantDigits: 2 });

export const number = (value) => NUMBER.format(value);
export const some = (count, what) => `${number(count)} ${what}${count === 1 ? "" : "s"}`;
export const perSecond = (value) => (value >= 10 ? number(Math.round(value)) : SMALL.format(value));

/** A stream's name in the place that there is. */
export const short = (stream) => stream.replace(/^mediawiki\./, "");

/** Events per second, as people say it: by the minute where they are few. */
export function rate(value) {
  if (value === null) return "–";
  if (value === 0) return "silent";
  return value < 0.95 ? `${SMALL.format(value * 60)}/min` : `${perSecond(value)}/s`;
}

export function bytes(value) {
  for (const unit of ["B", "kB", "MB"]) {
    if (value < 1000) return `${perSecond(value)} ${unit}`;
    value /= 1000;
  }
  return `${perSecond(value)} GB`;
}

/** A span of time in ms. */
export function duration(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  const hours = Math.floor(seconds / 3600);
  if (hours < 48) return `${hours} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(hours / 24)} days ${hours % 24} h`;
}

const iso = (ms) => new Date(ms).toISOString();

/** UTC, as all times in the page; with the date where it is not today's. */
export function clock(ms) {
  const text = iso(ms);
  return text.slice(0, 10) === iso(Date.now()).slice(0, 10) ? text.slice(11, 19) : `${text.slice(5, 10)} ${text.slice(11, 19)}`;
}

export const isoSeconds = (ms) => `${iso(ms).slice(0, 19)}Z`;

/** To the clipboard; false where the browser does not let us. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without TLS there is no such clipboard, only the older way.
    const area = h("textarea", { value: text, readOnly: true, className: "offscreen" });
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
