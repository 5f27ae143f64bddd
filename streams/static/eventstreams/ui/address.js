// The part of the address after "#": what the page shows, so that a reload or a copy of the address shows the same.

/** `#/?streams=a,b&…`, as the old demo page had it, as URLSearchParams. */
export function readAddress() {
  const start = location.hash.indexOf("?");
  return new URLSearchParams(start < 0 ? "" : location.hash.slice(start + 1));
}

/** Show pairs of name and value in the address, without those that have no value. */
export function writeAddress(pairs) {
  const query = toQuery(pairs);
  history.replaceState(null, "", query ? `#/?${query}` : "#/");
}

/** Readable where a browser lets it be: commas, colons and slashes need no encoding here. */
export function toQuery(pairs) {
  return pairs
    .filter(([, value]) => value)
    .map(([name, value]) => `${name}=${encodeURIComponent(value).replace(/%(2C|3A|2F)/g, decodeURIComponent)}`)
    .join("&");
}
