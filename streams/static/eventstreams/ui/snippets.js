// The same streams with other clients; each of these runs unchanged.

const FIRST = "Follows the streams; after an interruption it resumes after the last event that it received.";

/** `url` is percent-encoded and so has neither quotes nor backslashes in it. */
export const SNIPPETS = {
  curl: (url) => `curl -N '${url}'\n`,

  JavaScript: (url) => `// ${FIRST}
// For browsers and for Node.js 18 or newer. (In browsers, EventSource can do much of this.)
async function follow(url, take) {
  let id = "";
  for (;;) {
    try {
      const headers = { Accept: "text/event-stream", "Last-Event-ID": id };
      const response = await fetch(url, { headers });
      if (response.status === 204) return; // nothing is left before the end
      if (!response.ok) throw new Error(\`\${response.status}: \${await response.text()}\`);
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (let piece; !(piece = await reader.read()).done; ) {
        const blocks = (rest + piece.value).split("\\n\\n");
        rest = blocks.pop();
        for (const block of blocks) {
          const fields = Object.fromEntries(block.split("\\n").map((line) => line.split(/: (.*)/s)));
          if (fields.event === "end") return; // as asked for by "until" or "limit"
          if (fields.event !== "message") continue;
          take(JSON.parse(fields.data));
          id = fields.id;
        }
      }
    } catch (error) {
      console.error("reconnecting:", error.message);
    }
    await new Promise((done) => setTimeout(done, 5000));
  }
}

follow("${url}", (event) => {
  if (event.meta.domain !== "canary") console.log(JSON.stringify(event));
});
`,

  Python: (url) => `"""${FIRST}

Uses only the standard library.
"""
import http.client
import json
import sys
import time
import urllib.request

URL = "${url}"


def follow(url):
    last_id = ""
    while True:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": last_id}
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as stream:
                if stream.status == 204:  # nothing is left before the end
                    return
                fields = {}
                for line in stream:
                    name, _, text = line.decode().rstrip("\\n").partition(": ")
                    if name:
                        fields[name] = text
                    else:  # a blank line: the event is complete
                        if fields.get("event") == "message":
                            yield json.loads(fields["data"])
                            last_id = fields["id"]
                        elif fields.get("event") == "end":  # as asked for by "until" or "limit"
                            return
                        fields = {}
        except (OSError, http.client.HTTPException) as error:
            print("reconnecting:", error, file=sys.stderr)
        time.sleep(5)


for event in follow(URL):
    if event["meta"].get("domain") != "canary":
        print(json.dumps(event), flush=True)
`,
};
