// Adds a source.

import { send } from "../lib/api.js";
import { h, put } from "../lib/dom.js";
import { heading, toast } from "../lib/ui.js";
import { sourceForm } from "./source-form.js";

export async function show({ root, signal, setTitle }) {
  setTitle("Add a source");
  const form = sourceForm({
    verb: "Add the source",
    cancel: h("a", { class: "button ghost", href: "#/sources" }, "Cancel"),
    save: async (input) => {
      const { source, task_id: task } = await send("POST", "/api/v2/sources", { body: input, signal });
      toast(task ? `${source.name} was added; its first crawl is queued.` : `${source.name} was added.`);
      window.location.hash = `#/sources/${source.id}`;
    },
  });
  put(root, heading("Add a source", { lead: "A website, or a part of one. robots.txt is obeyed." }).node, form);
  form.querySelector("textarea").focus();
}
