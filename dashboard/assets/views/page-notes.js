// A page's notes on its own page, and in a dialog over a list.

import { h, put } from "../lib/dom.js";
import { openDialog } from "../lib/dialog.js";
import { when } from "../lib/format.js";
import { NO_NOTES, noteFields, remember, star } from "../lib/notes.js";

/** The card on a page's own page. */
export function notesCard(page, title, notes, signal) {
  remember(notes);
  const first = notes ?? NO_NOTES;
  const changed_at = h("p", { class: "note" });
  const told = (now) => put(changed_at, now.updated_at && ["Changed ", when(now.updated_at)]);
  const mark = star(page, title, first, told);
  const fields = noteFields(page, first, (now) => {
    mark.set({ ...now });
    told(now);
  }, signal);
  told(first);
  return h(
    "section",
    { class: "card notes-card", "aria-label": "Notes" },
    h("div", { class: "notes-head" }, h("h2", null, "Notes"), mark.node, changed_at),
    fields.node,
  );
}

/** The same for a page of a list; `changed(notes)` hears of each change. */
export function notesDialog(page, title, notes, changed) {
  return openDialog({
    title,
    wide: true,
    build: (close) => {
      const leaving = new AbortController();
      const fields = noteFields(page, notes, changed, leaving.signal);
      const done = h("button", { type: "button", class: "primary" }, "Done");
      done.addEventListener("click", async () => {
        await fields.flush();
        // What could not be saved is not thrown away unseen.
        if (fields.isSaved()) close(true);
      });
      return h("div", { class: "dialog-body" }, fields.node, h("p", { class: "actions" }, done));
    },
  });
}
