// One task, live while it is not over.

import { get } from "../lib/api.js";
import { foreign, h, put, say } from "../lib/dom.js";
import { when } from "../lib/format.js";
import { follow } from "../lib/live.js";
import { facts, heading, loading, tell } from "../lib/ui.js";
import { progressBar, taskActions, taskState } from "./tasks.js";

export async function show({ root, id, signal, setTitle }) {
  setTitle(`Task ${id}`);
  put(root, loading());
  let watched = null;
  const heard = h("p", { class: "hidden-text", role: "status" });
  const body = h("div");
  const log = h("ol", { class: "log", "aria-label": "What it worked on, newest first" });
  const logCard = h("section", { class: "card", hidden: true, "aria-label": "Live" }, h("h2", null, "Live"), log);
  const head = heading(`Task ${id}`);
  const state = h("span");
  const buttons = h("div", { class: "actions" });
  head.node.append(buttons);
  let told = "";
  let last = "";

  await start();
  put(root, head.node, heard, body, logCard);

  async function start() {
    watched?.abort();
    watched = new AbortController();
    const mine = watched.signal;
    signal.addEventListener("abort", () => watched.abort(), { once: true });
    const task = await get(`/api/v2/tasks/${id}`, { signal });
    head.rename(`${task.kind} ${id}`);
    setTitle(`${task.kind} ${id}`);
    draw(task);
    if (!task.finished_at) follow(`/api/v2/tasks/${id}/events`, { signal: mine, onState: draw, onProblem: tell });
  }

  function draw(task) {
    note(task);
    const now = `${task.state} ${task.cancel_requested}`;
    if (now !== told) {
      if (told) say(heard, `The task is ${task.state}.`);
      told = now;
      put(buttons, taskActions(task, start));
    }
    put(state, taskState(task));
    put(
      body,
      h(
        "section",
        { class: "card", "aria-label": "State" },
        h("div", { class: "task-progress" }, progressBar(task)),
        facts([
          ["State", state],
          ["Working on", task.state === "running" && task.progress.current && foreign(task.progress.current)],
          ["Waiting for", task.waiting_for && foreign(task.waiting_for)],
          ["Priority", task.priority],
          ["Attempt", `${task.attempt} of ${task.attempts_max}`],
          ["Queued", when(task.enqueued_at)],
          ["Due", task.state === "scheduled" && when(task.run_at)],
          ["Begun", task.started_at && when(task.started_at)],
          ["Ended", task.finished_at && when(task.finished_at)],
          ["Worker", task.worker],
          ["Crawl", Number.isInteger(task.result?.crawl_id) && h("a", { href: `#/crawls/${task.result.crawl_id}` }, `Crawl ${task.result.crawl_id}`)],
          ["Source", Number.isInteger(task.payload?.source) && h("a", { href: `#/sources/${task.payload.source}` }, `Source ${task.payload.source}`)],
        ]),
      ),
      task.error && part("Error of the last attempt that had one", h("pre", { class: "bad", dir: "auto", tabindex: "0", role: "group", "aria-label": "Error" }, task.error)),
      part("Asked for", json("Asked for", task.payload)),
      task.finished_at && part("Result", task.result ? json("Result", task.result) : h("p", { class: "muted" }, "None, or kept no longer: results last an hour.")),
    );
  }

  /** What it worked on, while one watches. */
  function note(task) {
    const { current, completed } = task.progress;
    if (task.state !== "running" || !current || current === last) return;
    last = current;
    log.prepend(h("li", null, h("span", { class: "num" }, completed), " ", foreign(current)));
    while (log.children.length > 30) log.lastChild.remove();
    logCard.hidden = false;
  }
}

function part(title, content) {
  return h("section", { class: "card", "aria-label": title }, h("h2", null, title), content);
}

function json(label, value) {
  return h("pre", { dir: "ltr", tabindex: "0", role: "group", "aria-label": label }, h("code", null, JSON.stringify(value, null, 2)));
}
