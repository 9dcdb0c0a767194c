// What people note about pages: shown at once as it is meant to be, and put
// back, with a word about it, when the server does not take it.

import { send } from "./api.js";
import { h, newId, put, s, say } from "./dom.js";
import { area, check, input } from "./form.js";
import { tell } from "./ui.js";

const WAIT_MS = 700;
export const NO_NOTES = { favorite: false, applied: false, status: "", notes: "", tags: [] };

/** Statuses and tags seen since the dashboard was opened, offered where one is typed. */
const seen = { status: new Set(), tag: new Set() };

export function remember(notes) {
  if (notes?.status) seen.status.add(notes.status);
  for (const tag of notes?.tags ?? []) seen.tag.add(tag);
}

/** Names a list of suggestions for an input, made of what was seen. */
export function suggest(control, kind) {
  const list = h("datalist", { id: newId() });
  control.setAttribute("list", list.id);
  control.addEventListener("focus", () => put(list, [...seen[kind]].sort().map((value) => h("option", { value }))));
  return list;
}

function save(page, patch) {
  return send("PATCH", `/api/v2/pages/${page}/notes`, { body: patch }).then((notes) => {
    remember(notes);
    return notes;
  });
}

/** The star of a page. `changed(notes)` hears what is so now. */
export function star(page, title, notes, changed) {
  const shape = s("svg", { viewBox: "0 0 20 20", "aria-hidden": "true" }, s("path", { d: "m10 2.6 2.3 4.7 5.1.7-3.7 3.6.9 5.1-4.6-2.4-4.6 2.4.9-5.1L2.6 8l5.1-.7z" }));
  const button = h("button", { type: "button", class: "star ghost" }, shape);
  let now = notes;
  const draw = () => {
    button.setAttribute("aria-pressed", String(now.favorite));
    button.setAttribute("aria-label", `Favorite: ${title}`);
    button.title = now.favorite ? "A favorite" : "Make it a favorite";
  };
  button.addEventListener("click", async () => {
    if (button.getAttribute("aria-busy") === "true") return;
    const before = now;
    now = { ...now, favorite: !now.favorite };
    draw();
    changed(now);
    button.setAttribute("aria-busy", "true");
    try {
      now = await save(page, { favorite: now.favorite });
    } catch (error) {
      now = before;
      tell(error);
    }
    button.removeAttribute("aria-busy");
    draw();
    changed(now);
  });
  draw();
  return { node: button, set: (next) => { now = next; draw(); } };
}

/** Applied, status and tags as small marks. */
export function noteMarks(notes) {
  return [
    notes.applied && h("span", { class: "badge succeeded" }, "applied"),
    notes.status && h("span", { class: "badge updated", dir: "auto" }, notes.status),
    notes.tags.map((tag) => h("span", { class: "badge tag", dir: "auto" }, tag)),
    notes.notes && h("span", { class: "badge", title: notes.notes }, "notes"),
  ];
}

/**
 * Fields for all but the star, each saved by itself: boxes when they are
 * ticked, text a moment after the last letter and when the field is left.
 */
export function noteFields(page, notes, changed, signal) {
  let now = notes;
  const state = h("p", { class: "hint", role: "status" });
  const again = h("button", { type: "button", class: "small", hidden: true }, "Try again");
  let waiting = {};
  let timer;
  let current = null;

  const applied = check("Applied", { checked: now.applied });
  const status = input("Status", { value: now.status, maxlength: 64, dir: "auto", placeholder: "None" });
  const tags = input("Tags", { value: now.tags.join(", "), dir: "auto", placeholder: "None" }, "Separated by commas.");
  const text = area("Text", { rows: 4, value: now.notes, maxlength: 4096, dir: "auto", class: "free" });

  /** Settles once all is sent, or could not be. */
  async function flush() {
    clearTimeout(timer);
    if (current) await current;
    if (Object.keys(waiting).length === 0) return;
    current = sendWaiting();
    const sent = await current;
    current = null;
    // Typed meanwhile.
    if (sent) await flush();
  }

  async function sendWaiting() {
    const patch = waiting;
    waiting = {};
    again.hidden = true;
    state.className = "hint";
    say(state, "Saving…");
    try {
      now = await save(page, patch);
      changed(now);
      if (Object.keys(waiting).length === 0) say(state, "Saved.");
      return true;
    } catch (error) {
      // What was typed stays, and is sent with the next attempt.
      waiting = { ...patch, ...waiting };
      if ("applied" in waiting) {
        delete waiting.applied;
        applied.control.checked = now.applied;
      }
      state.className = "hint bad";
      say(state, `Not saved: ${error.message}`);
      again.hidden = Object.keys(waiting).length === 0;
      changed(now);
      return false;
    }
  }
  const change = (patch, wait) => {
    waiting = { ...waiting, ...patch };
    clearTimeout(timer);
    timer = setTimeout(flush, wait);
  };
  const typed = (control, read) => {
    control.addEventListener("input", () => change(read(), WAIT_MS));
    control.addEventListener("change", flush);
  };
  applied.control.addEventListener("change", () => {
    changed({ ...now, applied: applied.control.checked });
    change({ applied: applied.control.checked }, 0);
  });
  typed(status.control, () => ({ status: status.control.value.trim() }));
  typed(tags.control, () => ({ tags: words(tags.control.value) }));
  typed(text.control, () => ({ notes: text.control.value }));
  again.addEventListener("click", flush);
  // What is still to be sent goes now.
  signal?.addEventListener("abort", () => flush(), { once: true });

  return {
    node: h(
      "div",
      { class: "note-fields" },
      h("div", { class: "note-line" }, status.node, tags.node, applied.node),
      text.node,
      h("p", { class: "note-state" }, state, again),
      suggest(status.control, "status"),
    ),
    flush,
    isSaved: () => current === null && Object.keys(waiting).length === 0,
  };
}

function words(text) {
  return [...new Set(text.split(/[,،]/).map((tag) => tag.trim()).filter(Boolean))];
}
