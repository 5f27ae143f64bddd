// The beginning of a response that does not end.

const MAX_MS = 5000;
const MAX_BYTES = 32 * 1024;

/**
 * Like fetch, but a body is read for a few seconds, or kilobytes, and then given up; what came is there as a whole,
 * cut behind its last whole event, with a line that says so. An error is passed on as it is.
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
    why = `what came in ${MAX_MS / 1000} seconds; the stream goes on`;
    abort.abort();
  }, MAX_MS);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      // Of a read that brings much, no more is kept: colouring hundreds of kilobytes would stop the page for long.
      text += decoder.decode(value.subarray(0, MAX_BYTES - bytes), { stream: true });
      bytes += value.length;
      if (bytes >= MAX_BYTES) {
        why = `the first ${MAX_BYTES / 1024} kB; the stream goes on`;
        abort.abort();
        break;
      }
    }
  } catch {
    why ||= "the connection broke here";
  } finally {
    clearTimeout(timer);
  }
  return { text, why };
}

/** Up to the end of the last whole event; all of it where there is none. */
function whole(text, end) {
  const last = text.lastIndexOf(end);
  return last < 0 ? text : text.slice(0, last + end.length);
}
