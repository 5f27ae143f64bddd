// Where to start: now, an hour ago, a date, or after an id that somebody kept.

import { forgetIds, lastIds } from "./ids.js";
import { $, clock, h, isoSeconds, short } from "./text.js";

const HOUR_MS = 3_600_000;

export class Begin {
  #onChange;

  /** `onResume(choice, id)` is called when somebody presses one of this browser's last ids. */
  constructor(onChange, onResume) {
    this.#onChange = onChange;
    for (const radio of document.querySelectorAll("[name=start]")) {
      radio.addEventListener("change", () => this.#changed());
    }
    for (const name of ["date", "id"]) {
      $(name).addEventListener("input", () => {
        this.#check(name);
        this.#changed();
      });
    }
    $("ids-box").addEventListener("toggle", () => this.showIds(onResume));
    $("forget").addEventListener("click", () => {
      forgetIds();
      this.showIds(onResume);
    });
    $("ids-box").hidden = !lastIds().length;
    $("date").value = isoSeconds(Date.now() - 24 * HOUR_MS).slice(0, 16);
  }

  get kind() {
    return document.querySelector("[name=start]:checked").value;
  }

  /** As in the address: `since` is `hour` or a date, `id` an id. */
  get pairs() {
    const { kind } = this;
    if (kind === "hour") return [["since", "hour"]];
    if (kind === "date") return [["since", $("date").value && `${$("date").value}Z`]];
    return kind === "id" ? [["id", this.id]] : [];
  }

  read(query) {
    const since = query.get("since");
    const id = query.get("id");
    const at = /^\d+$/.test(since ?? "") ? Number(since) : Date.parse(since);
    if (id) $("id").value = id;
    if (!Number.isNaN(at) && since) $("date").value = new Date(at).toISOString().replace(/(:00)?\.000Z$|Z$/, "");
    this.#check(id ? "id" : since === "hour" ? "hour" : since ? "date" : "now");
    $("id-box").hidden = this.kind !== "id";
  }

  /** The time to start from in ms: null without one, NaN where the date is missing. */
  get sinceMs() {
    if (this.kind === "hour") return Date.now() - HOUR_MS;
    return this.kind === "date" ? Date.parse(`${$("date").value}Z`) : null;
  }

  get id() {
    return this.kind === "id" ? $("id").value.trim() : "";
  }

  /** Why it cannot start from here, "" if it can. */
  get obstacle() {
    if (Number.isNaN(this.sinceMs)) return "Enter a start date.";
    return this.kind === "id" ? whyNotAnId(this.id) : "";
  }

  /** Show a remark below the choice. */
  say(text) {
    if ($("understood").textContent !== text) $("understood").textContent = text;
  }

  showIds(onResume) {
    const ids = lastIds();
    $("ids-box").hidden = !ids.length;
    const rows = ids.map(({ choice, id, at }) => {
      const streams = (new URLSearchParams(choice).get("streams") ?? "").split(",").map(short).join(", ");
      const resume = h("button", { type: "button", className: "small", title: id }, `Resume ${streams}`);
      resume.addEventListener("click", () => onResume(choice, id));
      return h("li", {}, resume, h("span", { className: "note" }, `last event ${clock(at)}`));
    });
    $("ids").replaceChildren(...rows);
  }

  #check(kind) {
    document.querySelector(`[name=start][value=${kind}]`).checked = true;
  }

  #changed() {
    $("id-box").hidden = this.kind !== "id";
    this.#onChange();
  }
}

function whyNotAnId(text) {
  if (!text) return "Paste an event id.";
  try {
    if (Array.isArray(JSON.parse(text))) return "";
  } catch {
    // As below.
  }
  return "This is not an event id. Paste the whole id, from [ to ].";
}
