// Tasks: what is queued, what runs, what became of it.

import { get, send } from "../lib/api.js";
import { h, newId, put, say } from "../lib/dom.js";
import { count, percent, when } from "../lib/format.js";
import { liveList } from "../lib/live-list.js";
import { action, badge, empty, heading, tableRow, toast } from "../lib/ui.js";

const EVERY_MS = 2000;

const COLUMNS = [["Task", "name"], ["State"], ["Progress", "wide"], ["Priority"], ["Queued"], ["", "end"]];
const STATES = [["", "Any"], ["scheduled,queued", "Waiting"], ["queued", "Queued"], ["scheduled", "Scheduled"], ["running", "Running"], ["succeeded", "Succeeded"], ["failed", "Failed"], ["dead", "Dead"], ["cancelled", "Cancelled"]];

export async function show({ root, query, signal, setTitle, setQuery }) {
  setTitle("Tasks");
  const filters = { state: query.get("state") ?? "", kind: query.get("kind") ?? "" };
  const summary = h("span");
  const kinds = h("ul", { class: "kinds", "aria-label": "Kinds of task" });
  let drawn = "";
  const list = liveList({
    caption: "Tasks, newest first",
    columns: COLUMNS,
    row: (task) => taskRow(task, () => list.again()),
    read: async ({ limit, after }) => {
      const [tasks, queue] = await Promise.all([
        get("/api/v2/tasks", { query: { ...filters, limit, before: after }, signal }),
        get("/api/v2/tasks/queue/status", { signal }),
      ]);
      say(summary, `${count(queue.queued)} waiting, ${count(queue.running)} running, ${count(queue.scheduled)} for later`);
      drawKinds(queue.kinds);
      return { items: tasks.tasks, next: tasks.next };
    },
    nothing: () => nothing(filters),
    every_ms: EVERY_MS,
    signal,
  });

  const { kinds: known } = await get("/api/v2/tasks/queue/status", { signal });
  put(root, heading("Tasks", { lead: summary }).node, filterBar(), kinds, list.node);

  function filterBar() {
    const choice = (label, name, options) => {
      const control = h("select", { id: newId() }, options.map(([value, text]) => h("option", { value }, text)));
      control.value = filters[name];
      control.addEventListener("change", () => {
        filters[name] = control.value;
        setQuery(filters);
        list.reset();
      });
      return h("div", { class: "field" }, h("label", { for: control.id }, label), control);
    };
    return h("div", { class: "filters", role: "group", "aria-label": "Filter tasks" }, choice("State", "state", STATES), choice("Kind", "kind", [["", "Any"], ...known.map(({ kind }) => [kind, kind])]));
  }

  function drawKinds(all) {
    const text = JSON.stringify(all.map(({ kind, paused }) => [kind, paused]));
    if (text === drawn) return;
    drawn = text;
    put(
      kinds,
      all.map(({ kind, paused }) =>
        h("li", null, h("span", null, kind), paused && badge("paused"), action(paused ? "Resume" : "Pause", async () => {
          await send("POST", `/api/v2/tasks/queue/${encodeURIComponent(kind)}/${paused ? "resume" : "pause"}`);
          toast(paused ? `Tasks of the kind ${kind} are begun again.` : `No task of the kind ${kind} is begun until you resume it.`);
          await list.again();
        }, { class: "small ghost", "aria-label": `${paused ? "Resume" : "Pause"} tasks of the kind ${kind}` })),
      ),
    );
  }
}

function nothing({ state, kind }) {
  if (state || kind) return empty("No task matches", "Take a filter away to see more.");
  return empty("No tasks yet", "Crawls, embedding and housekeeping become tasks. A crawl of a source is one.", h("a", { class: "button primary", href: "#/sources" }, "Go to the sources"));
}

function taskRow(task, again) {
  return tableRow(COLUMNS, [
    h("div", null, h("a", { href: `#/tasks/${task.id}`, class: "strong" }, `${task.kind} ${task.id}`), subject(task)),
    taskState(task),
    h("div", null, progressBar(task), task.error && task.state !== "succeeded" && h("p", { class: "note clip2 bad", dir: "auto" }, task.error)),
    task.priority,
    when(task.enqueued_at),
    h("div", { class: "actions" }, taskActions(task, again, true)),
  ]);
}

/** What it is about, as far as its payload tells. */
function subject({ payload }) {
  const url = payload?.url ?? payload?.urls?.[0];
  const source = payload?.source ?? payload?.source_id;
  if (url) return h("span", { class: "note clip", dir: "ltr" }, url);
  return Number.isInteger(source) ? h("a", { class: "note", href: `#/sources/${source}` }, `source ${source}`) : null;
}

export function taskState(task) {
  if (task.cancel_requested && task.state === "running") return badge("cancelled", "stopping…");
  return h("span", null, badge(task.state), task.attempt > 1 && h("span", { class: "note" }, ` try ${task.attempt} of ${task.attempts_max}`));
}

export function progressBar({ state, progress, waiting_for: waiting }) {
  const { completed, total, errors } = progress;
  const text = `${count(completed)}${total ? ` of ${count(total)} (${percent(completed / total)})` : ""}${errors > 0 ? `, ${count(errors)} errors` : ""}`;
  if (state === "queued" || state === "scheduled") return h("span", { class: "note", dir: "auto" }, waiting ?? "");
  if (state !== "running") return h("span", { class: "note" }, completed > 0 ? text : "");
  const bar = h("progress", { "aria-label": "Progress" });
  if (total) {
    bar.max = total;
    bar.value = Math.min(completed, total);
  }
  return h("div", { class: "progress" }, bar, h("span", { class: "note" }, text));
}

export function taskActions(task, done, small) {
  const size = small ? "small " : "";
  const retry = ["dead", "failed", "cancelled"].includes(task.state);
  const cancel = ["scheduled", "queued", "running"].includes(task.state) && !task.cancel_requested;
  const named = (verb) => ({ "aria-label": `${verb} task ${task.id}` });
  return [
    retry && action("Retry", async () => {
      await send("POST", `/api/v2/tasks/${task.id}/retry`);
      toast(`Task ${task.id} is queued again.`);
      await done();
    }, { class: size, ...named("Retry") }),
    cancel && action("Cancel", async () => {
      const { status } = await send("DELETE", `/api/v2/tasks/${task.id}`);
      toast(status === "cancelling" ? `Task ${task.id} is told to stop.` : `Task ${task.id} is cancelled.`);
      await done();
    }, { class: `${size}ghost danger`, ...named("Cancel") }),
  ];
}
