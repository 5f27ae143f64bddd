// What went wrong, in words; and why a stream ended.

import { some } from "./text.js";

const SAID = {
  unreachable: "The server cannot be reached.",
  broken: "The connection broke.",
  ended: "The server ended the connection.",
  silent: "The server sent no data for too long, so this page closed the connection.",
  no_stream: "The server did not send an event stream.",
  too_many_requests: "Too many streams are open from your network address.",
  kafka_unavailable: "The server cannot reach Kafka at the moment.",
  no_topics_available: "These streams have no topics in Kafka yet, so there is nothing to send.",
  no_stream_configuration: "The server has not loaded its list of streams yet.",
  no_redaction_list: "The server is still loading its redaction list. Until then it sends no events.",
  draining: "The server is about to stop; another one will take over.",
  overloaded: "The server has no room for another client.",
};
const WITHDRAWN = "No longer exposed";
const WAITS = "This page stays connected and shows events as soon as they come.";

/** What to say about a silence (see silence.js), "" where nothing is wrong. */
export function wordsOfSilence({ isLively, answer }) {
  if (!answer) return isLively ? "Asking the service why." : "";
  if (answer.said.length) return `The service says: ${answer.said.join("; ").replace(/\.$/, "")}. ${WAITS}`;
  if (answer.status === "unknown") return `The service does not say why. ${WAITS}`;
  return isLively ? `Events usually come more often. The service reports no problem. ${WAITS}` : "";
}

/** One or two sentences about a problem (see sse.js). */
export function words({ status, type, title, detail = "" }) {
  if (type === "not_found") {
    const names = detail.slice(detail.indexOf(":") + 1).trim();
    const sentence = `There is no stream named ${names || "like that"} here. Choose from the list.`;
    return detail.startsWith(WITHDRAWN) ? `This server has withdrawn a stream. ${sentence}` : sentence;
  }
  if (type === "invalid_filter") return `The server cannot use this filter: ${detail}`;
  if (SAID[type]) return SAID[type];
  if (status === 429) return "The server received too many requests.";
  if (status >= 500) return `The server has a problem (${status}). ${detail}`.trim();
  return `The server refused the request (${status}${title ? `, ${title}` : ""}). ${detail}`.trim();
}

/** Why a stream ended that had an end (see sse.js), and after how many events. */
export function wordsOfEnd({ reason, events }) {
  if (reason === "limit") return `The stream ended: ${some(events, "event")}, as many as you asked for.`;
  const count = events ? `${some(events, "event")} came` : "no event came";
  if (reason === "past") return `The stream ended: nothing is left before the end that you chose; ${count}.`;
  return `The stream ended: it reached the end that you chose; ${count}.`;
}
