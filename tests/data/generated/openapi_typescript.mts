// A program over the types that openapi-typescript makes of the document, as a user of them would write it.

import createClient from "openapi-fetch";
import type { components, paths } from "./made.d.ts";

type Change = components["schemas"]["mediawiki.recentchange.1.0.1"];
declare const process: { argv: string[] };

const [baseUrl, since, until, title] = process.argv.slice(2) as [string, string, string, string];
const client = createClient<paths>({ baseUrl, headers: { Accept: "application/json" } });
const RECENT = "/v2/stream/mediawiki.recentchange";

function told<T>(answer: { data?: T; error?: { type: string; detail: string } }): T {
  if (answer.data === undefined) throw new Error(answer.error?.detail);
  return answer.data;
}

const one: Change = told(await client.GET(RECENT, { params: { query: { since, limit: 1, type: ["edit"] } } }));
const body: ReadableStream<Uint8Array> | null = told(
  await client.GET(RECENT, {
    params: { query: { since, until, wiki: ["enwiki", "dewiki"], where: ["length.new>100"] } },
    parseAs: "stream",
  }),
);
const changes: Change[] = [];
let rest = "";
const decoder = new TextDecoder();
for await (const piece of body!) {
  const lines = (rest + decoder.decode(piece, { stream: true })).split("\n");
  rest = lines.pop()!;
  changes.push(...lines.filter(Boolean).map((line) => JSON.parse(line)));
}
const logged = told(await client.GET(RECENT, { params: { query: { since, limit: 1, where: ["log_params"] } } }));
const redacted = told(
  await client.GET("/v2/stream/mediawiki.page_change.v1", {
    params: { query: { since: "0", limit: 1, title: [title] } },
  }),
);
const wrong = await client.GET("/v2/stream/{streams}", {
  params: { path: { streams: ["recentchange"] }, query: { since: "never" } },
});

const offset = (event: { meta?: { offset?: number } }) => event.meta?.offset;
console.log(
  JSON.stringify({
    one: offset(one),
    many: changes.map(offset),
    logged: [offset(logged), logged.log_params],
    redacted: [offset(redacted), redacted.page.page_title, redacted.performer],
    error: [wrong.response.status, wrong.error?.type],
  }),
);
