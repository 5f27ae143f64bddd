// Reads the beginning of an endless response.

const MAX_MS = 5000;
const MAX_BYTES = 32 * 1024;

/**
 * Like fetch, but stops reading the body after a few seconds or kilobytes. The result ends with the last complete event
 * and a line that says so. Errors are not changed.
 */
export async function beginning(url, options) {
  const abort = new AbortController();
  const response = await fetch(url, { ...options, signal: abort.signal });
  if (response.status !== 200 || !response.body) return response;
  const { text, why } = await read(response.body.getReader(), abort);
  const isSse = response.headers.get("Content-Type")?.startsWith("text/event-stream");
  return new Response(why ? `${whole(text, isSse ? "\n\n" : "\n")}: ${why}\n` : text, {
    status: response.status,
    statusText: response.statusText,
    headers: response.headers,
  });
}

async function read(reader, abort) {
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  let why = "";
  const timer = setTimeout(() => {
    why = `the events of ${MAX_MS / 1000} seconds; the stream continues`;
    abort.abort();
  }, MAX_MS);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      // Keep no more of a large read: highlighting hundreds of kilobytes would freeze the page.
      text += decoder.decode(value.subarray(0, MAX_BYTES - bytes), { stream: true });
      bytes += value.length;
      if (bytes >= MAX_BYTES) {
        why = `the first ${MAX_BYTES / 1024} kB; the stream continues`;
        abort.abort();
        break;
      }
    }
  } catch {
    why ||= "the connection was lost here";
  } finally {
    clearTimeout(timer);
  }
  return { text, why };
}

/** The text up to the end of the last complete event; all of it if there is none. */
function whole(text, end) {
  const last = text.lastIndexOf(end);
  return last < 0 ? text : text.slice(0, last + end.length);
}
