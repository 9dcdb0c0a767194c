// What a page says, in short, and how that came about.

import { get, send } from "../lib/api.js";
import { h, put } from "../lib/dom.js";
import { count, counted, direction, when } from "../lib/format.js";
import { follow } from "../lib/live.js";
import { action, badge, toast } from "../lib/ui.js";

const STATES = { done: "succeeded", fallback: "paused", failed: "failed" };

/** The card on a page's own page. */
export function summaryCard(id, summary, signal) {
  const body = h("div", { "aria-live": "polite" });
  const look = async () => put(body, written(await get(`/api/v2/pages/${id}/summary`, { signal })));

  const none = () =>
    h("div", { class: "summary-foot" }, h("p", { class: "muted" }, "Not summarised yet."), make("Summarise", {}));

  function written(summary) {
    const anew = !summary.current ? make("Summarise anew", {}) : summary.status !== "done" && make("Try again", { again: [summary.status] });
    return [
      h("div", { lang: summary.language, dir: direction(summary.language) },
        h("p", null, summary.summary || summary.error),
        summary.key_points.length > 0 && h("ul", { class: "points" }, summary.key_points.map((point) => h("li", null, point)))),
      summary.entities.length > 0 &&
        h("ul", { class: "keywords", "aria-label": "Named in it" }, summary.entities.map((one) => h("li", { dir: "auto", title: one.kind }, one.name))),
      h("div", { class: "summary-foot" },
        h("p", { class: "note" }, badge(STATES[summary.status] ?? "new", summary.status), " ", about(summary)),
        anew),
      summary.error && summary.summary && h("p", { class: "note", dir: "auto" }, summary.error),
    ];
  }

  /** A button that has it made, and shows it once it is. */
  function make(label, more) {
    return action(label, async () => {
      const { task_ids: tasks } = await send("POST", "/api/v2/summaries", { body: { page_ids: [Number(id)], ...more }, signal });
      if (tasks.length === 0) return look();
      await Promise.all(tasks.map((task) => ended(task, signal)));
      return look();
    }, { class: "small" });
  }

  put(body, summary ? written(summary) : none());
  return h("section", { class: "card summary-card", "aria-label": "Summary" }, h("h2", null, "In short"), body);
}

function about(summary) {
  const by = summary.status === "done" ? `by ${summary.model}, ${counted(summary.tokens_in + summary.tokens_out, "token")}` : summary.status === "fallback" ? "sentences of the page itself" : "no text to summarise";
  return [by, ", ", when(summary.created_at), summary.category && `, ${summary.category}`, !summary.current && "; the page has changed since"];
}

/** Resolves when the task has ended; rejects with what it failed of. */
function ended(task, signal) {
  return new Promise((resolve, reject) => {
    follow(`/api/v2/tasks/${task}/events`, {
      signal,
      onProblem: reject,
      onState: (state, isLast) => {
        if (state.waiting_for) {
          toast(state.waiting_for);
          resolve();
        }
        if (!isLast) return;
        if (state.state === "succeeded") resolve();
        else reject(new Error(state.error ?? `Task ${count(task)} was ${state.state}.`));
      },
    });
  });
}
