// Further columns of the list: fields of the events, by their paths.

export const MOST_COLUMNS = 4;

const PATH = /^[\w$@-]+(\.[\w$@-]+)*$/;

/** Paths, as somebody types them: those that can be columns, each once; and what cannot. */
export function readColumns(text) {
  const paths = [...new Set(text.split(",").map((one) => one.trim()).filter(Boolean))];
  const wrong = paths.find((path) => !PATH.test(path));
  const why = wrong
    ? `“${wrong}” is not a field. Enter names joined by dots, such as length.new.`
    : paths.length > MOST_COLUMNS
      ? `The list has room for ${MOST_COLUMNS} columns.`
      : "";
  return { paths: paths.filter((path) => PATH.test(path)).slice(0, MOST_COLUMNS), why };
}

/** What is at a path, as text: of an array all elements; "" where there is nothing. */
export function valueAt(event, path) {
  let found = [event];
  for (const name of path.split(".")) {
    found = found.flat(Infinity).map((one) => own(one, name)).filter((one) => one !== undefined && one !== null);
  }
  return found.flat(Infinity).map((one) => (typeof one === "object" ? JSON.stringify(one) : String(one))).join(", ");
}

const own = (value, name) =>
  typeof value === "object" && value !== null && Object.hasOwn(value, name) ? value[name] : undefined;
