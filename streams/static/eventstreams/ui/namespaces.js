// Namespaces by name: those that every wiki of MediaWiki has, and some that many wikis have.

const SUBJECTS = [
  [0, "Article"],
  [2, "User"],
  [4, "Project"],
  [6, "File"],
  [8, "MediaWiki"],
  [10, "Template"],
  [12, "Help"],
  [14, "Category"],
  [100, "Portal"],
  [118, "Draft"],
  [120, "Property"],
  [146, "Lexeme"],
  [828, "Module"],
];
const NAMES = new Map(
  SUBJECTS.flatMap(([number, name]) => [
    [number, name],
    [number + 1, number ? `${name} talk` : "Talk"],
  ]),
);

export const namespaceNames = [...NAMES.values()];

/** The name of a number, the text itself where there is none; `!` in front stays. */
export function toName(text) {
  const [, not, number] = /^(!?)(.*)$/.exec(text);
  return not + (NAMES.get(Number(number)) ?? number);
}

/** The number of a name or of a number, null where there is none; `!` in front stays. */
export function toNumber(text) {
  const [, not, name] = /^(!?)\s*(.*)$/.exec(text);
  if (/^-?\d+$/.test(name)) return not + name;
  const wanted = name.replaceAll("_", " ").toLowerCase();
  const found = [...NAMES].find(([, known]) => known.toLowerCase() === wanted);
  return found ? not + found[0] : null;
}
