// What went wrong, in words.

const SAID = {
  unreachable: "The server cannot be reached.",
  broken: "The connection broke.",
  ended: "The server ended the connection.",
  silent: "Nothing has been heard from the server for too long, so the connection was given up.",
  no_stream: "What answers at this address is not a stream of events.",
  too_many_requests: "Too many streams are open from your network address.",
  kafka_unavailable: "The server cannot reach Kafka at the moment.",
  no_topics_available: "These streams have no topics in Kafka yet, so there is nothing to send.",
  no_stream_configuration: "The server does not know its streams yet.",
  no_redaction_list: "The server has not read its list of redacted pages yet, and sends nothing before.",
  draining: "The server is about to stop; another one will take over.",
  overloaded: "The server has as many connections as it allows.",
};

/** What to say of a silence (see silence.js), "" where nothing is the matter. */
export function wordsOfSilence({ isLively, answer }) {
  if (!answer) return isLively ? "Asking the service why." : "";
  if (answer.said.length) return `The service says: ${answer.said.join("; ").replace(/\.$/, "")}.`;
  if (answer.status === "unknown") return "The service cannot be asked why.";
  return isLively ? "Usually they come more often. The service reports no problem." : "";
}

/** One or two sentences about a problem (see sse.js). */
export function words({ status, type, title, detail = "" }) {
  if (type === "not_found") {
    const names = detail.slice(detail.indexOf(":") + 1).trim();
    return `There is no stream named ${names || "like that"} here. Choose from the list.`;
  }
  if (SAID[type]) return SAID[type];
  if (status === 429) return "The server has had too many requests.";
  if (status >= 500) return `The server has a problem (${status}). ${detail}`.trim();
  return `The server refused (${status}${title ? `, ${title}` : ""}). ${detail}`.trim();
}
