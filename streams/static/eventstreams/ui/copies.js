// The same streams for another client: a command or a program, shown and copied.

import { SNIPPETS } from "./snippets.js";
import { $, copy, h } from "./text.js";

const CLICK_MS = 250;
const COPIED = { curl: "curl command copied.", JavaScript: "JavaScript copied.", Python: "Python copied." };

/** Make the buttons. `obstacle()` is why there is nothing to copy, "" if there is; `address()` the address to read. */
export function offerCopies(obstacle, address) {
  for (const name of Object.keys(SNIPPETS)) {
    const button = h("button", { type: "button", ariaPressed: "false" }, name);
    button.addEventListener("click", () => show(name, button, obstacle, address));
    $("copy-as").append(button);
  }
}

let hiding = 0;

/** Not at once: the page would move away below a pointer that presses something just now. */
export function hideCopySoon() {
  clearTimeout(hiding);
  hiding = setTimeout(hideCopy, CLICK_MS);
}

function hideCopy() {
  clearTimeout(hiding);
  $("snippet").hidden = true;
  for (const button of $("copy-as").querySelectorAll("button")) button.ariaPressed = "false";
}

async function show(name, button, obstacle, address) {
  const isShown = button.ariaPressed === "true";
  hideCopy();
  if (isShown) return;
  const why = obstacle();
  const text = why ? "" : SNIPPETS[name](address());
  button.ariaPressed = "true";
  $("snippet").hidden = false;
  $("code").textContent = text;
  $("code").hidden = !text;
  const copied = text && (await copy(text));
  $("copied").textContent = why || (copied ? COPIED[name] : "Could not copy. Select the text and copy it yourself.");
}
