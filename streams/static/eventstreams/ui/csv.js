// Events as lines of CSV that no spreadsheet runs: as the service's own lists (redaction/imports/csv_cells.py).

import { valueAt } from "./columns.js";

const FORMULA = /^'*[=+\-@\t\r\n＝＋－＠]/;
const FIXED = ["time", "type", "wiki", "title", "user", "stream", "url"];

export const csvHeader = (paths) => line([...FIXED, ...paths]);

/** `one` is the event's row (events.js); a name that was removed is an empty cell. */
export function csvLine(event, one, paths) {
  const time = Number.isNaN(one.at) ? "" : new Date(one.at).toISOString();
  const fixed = [time, one.type, one.wiki, one.title, one.user ?? "", one.stream, one.link];
  return line([...fixed, ...paths.map((path) => valueAt(event, path))]);
}

function line(cells) {
  return `${cells.map(cell).join(",")}\r\n`;
}

function cell(text) {
  const flat = text.replace(/[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+/g, " ");
  const safe = FORMULA.test(flat) ? `'${flat}` : flat;
  return /[",]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
