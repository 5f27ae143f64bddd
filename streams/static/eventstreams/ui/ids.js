// The last ids that this browser received: where each of its choices can resume, also after the page was closed.

import { ROOT } from "./root.js";

const KEY = `last-ids${ROOT}`;
const KEPT = 8;

/** `{choice, id, at}`, the newest first: the choice as in the address, and when its last event came, in ms. */
export function lastIds() {
  try {
    return JSON.parse(localStorage.getItem(KEY)) ?? [];
  } catch {
    return []; // storage may be forbidden
  }
}

export function rememberId(choice, id) {
  const others = lastIds().filter((one) => one.choice !== choice);
  store([{ choice, id, at: Date.now() }, ...others].slice(0, KEPT));
}

export function forgetIds() {
  store([]);
}

function store(ids) {
  try {
    localStorage.setItem(KEY, JSON.stringify(ids));
  } catch {
    // Forbidden or full: then there is nothing to resume from later.
  }
}
