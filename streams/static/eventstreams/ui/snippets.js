// The same streams by other means; each of these runs as it stands.

const FIRST = "Follows the streams, and after an interruption goes on after the last event that it had.";

/** `url` is percent-encoded and so has neither quotes nor backslashes in it. */
export const SNIPPETS = {
  curl: (url) => `curl -N '${url}'\n`,

  JavaScript: (url) => `// ${FIRST}
// For browsers and for Node.js 18 or newer. (In browsers, EventSource does much of this by itself.)
async function follow(url, take) {
  let id = "";
  for (;;) {
    try {
      const headers = { Accept: "text/event-stream", "Last-Event-ID": id };
      const response = await fetch(url, { headers });
      if (!response.ok) throw new Error(\`\${response.status}: \${await response.text()}\`);
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (let piece; !(piece = await reader.read()).done; ) {
        const blocks = (rest + piece.value).split("\\n\\n");
        rest = blocks.pop();
        for (const block of blocks) {
          const fields = Object.fromEntries(block.split("\\n").map((line) => line.split(/: (.*)/s)));
          if (fields.event !== "message") continue;
          take(JSON.parse(fields.data));
          id = fields.id;
        }
      }
    } catch (error) {
      console.error("connecting again:", error.message);
    }
    await new Promise((done) => setTimeout(done, 5000));
  }
}

follow("${url}", (event) => {
  if (event.meta.domain !== "canary") console.log(JSON.stringify(event));
});
`,

  Python: (url) => `"""${FIRST}

With the standard library alone.
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
                fields = {}
                for line in stream:
                    name, _, text = line.decode().rstrip("\\n").partition(": ")
                    if name:
                        fields[name] = text
                    else:  # a blank line: the event is complete
                        if fields.get("event") == "message":
                            yield json.loads(fields["data"])
                            last_id = fields["id"]
                        fields = {}
        except (OSError, http.client.HTTPException) as error:
            print("connecting again:", error, file=sys.stderr)
        time.sleep(5)


for event in follow(URL):
    if event["meta"].get("domain") != "canary":
        print(json.dumps(event), flush=True)
`,
};
