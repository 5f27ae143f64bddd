// The order in which streams are offered, here and in the API documentation: favourites first, then by the beginning of
// their names; what has events before what has none; nothing that has no topic.

import { ROOT } from "./root.js";

const KEY = `favourite-streams${ROOT}`;
const OTHERS = "Others";

/** Names, kept in this browser. */
export function favourites() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY));
    return Array.isArray(kept) ? kept.filter((name) => typeof name === "string") : [];
  } catch {
    return []; // storage may be forbidden
  }
}

export function toggleFavourite(name) {
  const kept = favourites();
  const now = kept.includes(name) ? kept.filter((one) => one !== name) : [...kept, name];
  try {
    localStorage.setItem(KEY, JSON.stringify(now));
  } catch {
    // Forbidden or full: then it is no favourite.
  }
}

/** `{name, streams}` of each group; `named` are streams that are offered in any case. */
export function grouped(streams, named = []) {
  const starred = favourites();
  const offered = streams.filter(({ name, has_topics }) => has_topics !== false || named.includes(name)).sort(byRate);
  const sizes = new Map();
  for (const { name } of offered) sizes.set(prefix(name), (sizes.get(prefix(name)) ?? 0) + 1);
  const groups = new Map();
  for (const stream of offered) {
    const own = sizes.get(prefix(stream.name)) > 1 ? prefix(stream.name) : OTHERS;
    const group = starred.includes(stream.name) ? "Favourites" : own;
    groups.set(group, [...(groups.get(group) ?? []), stream]);
  }
  const found = [...groups].map(([name, streams]) => ({ name, streams }));
  return found.sort((a, b) => rank(a) - rank(b) || byRate(a.streams[0], b.streams[0]));
}

/** Those without events come last, whatever their group. */
const rank = ({ name, streams }) => (name === "Favourites" ? 0 : streams[0].rate > 0 ? 1 : 2);

const prefix = (name) => name.split(/[._-]/, 1)[0];

const byRate = (a, b) => (b.rate ?? -1) - (a.rate ?? -1) || (a.name < b.name ? -1 : 1);
