// One crawl, live while it runs.

import { get, send } from "../lib/api.js";
import { foreign, h, outside, put, say } from "../lib/dom.js";
import { NONE, bytes, count, percent, rate, seconds, when } from "../lib/format.js";
import { follow, poll } from "../lib/live.js";
import { plot } from "../lib/plot.js";
import { action, badge, heading, loading, problem, table, tableRow, tell, toast } from "../lib/ui.js";
import { crawlState, isOver, liveBar, liveLegend } from "./crawl-parts.js";

/** Reasons are counted by the database; while it runs, as often as this. */
const REASONS_MS = 4000;
const RATE_MS = 2000;

const REASONS = [["Kind"], ["Why", "wide"], ["URLs", "num"], ["Such as", "wide"]];

export async function show({ root, id, signal, setTitle }) {
  setTitle(`Crawl ${id}`);
  put(root, heading(`Crawl ${id}`).node, loading());
  const shown = await get(`/api/v2/crawls/${id}`, { signal });
  let crawl = shown.crawl;
  const source = await get(`/api/v2/sources/${crawl.source}`, { signal }).catch((error) => {
    if (error.name === "AbortError") throw error;
    return null;
  });
  const name = source?.name ?? `source ${crawl.source}`;
  setTitle(`Crawl of ${name}`);

  const state = h("span");
  const heard = h("p", { class: "hidden-text", role: "status" });
  const actions = h("div", { class: "actions" });
  const bar = liveBar();
  const legend = liveLegend();
  const figures = figureRow(["Found", "Answered", "Pages per second", "Received", "At work", "Begun", "Ended"]);
  const failure = h("div", { class: "card problem", hidden: true });
  const reasons = h("section", { "aria-label": "Why URLs did not become pages" });
  const speed = plot({ title: "Answered per second", text: rate });
  speed.node.hidden = isOver(crawl);
  const lead = [h("a", { href: `#/sources/${crawl.source}`, dir: "auto" }, name), ", crawl ", count(id), " ", state];
  const head = heading("Crawl", { lead });
  head.node.append(actions);
  put(root, head.node, heard, failure, h("section", { class: "card", "aria-label": "Progress" }, bar.node, legend.node, figures.node), speed.node, reasons);

  let told = "";
  let pace = Number.NaN;
  function draw() {
    bar.fill(crawl);
    legend.fill(crawl);
    figures.set("Found", count(crawl.found));
    figures.set("Answered", count(crawl.fetched));
    // The server adds a run's time up when the run ends; until then, what is
    // seen here says how fast it is.
    const running = crawl.status === "running" || crawl.duration_ms === 0;
    figures.set("Pages per second", rate(running ? pace : crawl.pages_per_s));
    figures.set("Received", bytes(crawl.bytes));
    figures.set("At work", running ? NONE : seconds(crawl.duration_ms / 1000));
    const now = `${crawl.status} ${crawl.cancel_requested} ${crawl.finished_at}`;
    if (now === told) return;
    // State and buttons only when they change: the focus stays, and screen
    // readers hear of changes and not of every page.
    if (told) say(heard, `The crawl is ${crawl.status}.`);
    told = now;
    put(state, crawlState(crawl));
    figures.set("Begun", when(crawl.started_at));
    figures.set("Ended", when(crawl.finished_at, "not yet"));
    const focused = actions.contains(document.activeElement);
    put(actions, buttons());
    if (focused) (actions.querySelector("button") ?? head.node.querySelector("h1")).focus();
    failure.hidden = !crawl.error;
    put(failure, h("strong", null, "What went wrong: "), foreign(crawl.error ?? ""));
  }

  function buttons() {
    if (isOver(crawl)) {
      return h("a", { class: "button", href: `#/pages?source=${crawl.source}` }, "Its pages");
    }
    const tellAll = (verb, text) =>
      action(verb, async () => {
        crawl = await send("POST", `/api/v2/crawls/${id}/${verb.toLowerCase()}`);
        toast(text);
        draw();
      }, verb === "Cancel" ? { class: "danger ghost" } : {});
    return [
      crawl.status === "paused"
        ? tellAll("Resume", "It goes on.")
        : tellAll("Pause", "It pauses once what is under way is stored."),
      !crawl.cancel_requested && tellAll("Cancel", "It ends; what it has stored stays."),
    ];
  }

  async function readReasons() {
    const answer = await get(`/api/v2/crawls/${id}`, { signal });
    if (isOver(answer.crawl)) crawl = answer.crawl;
    draw();
    put(reasons, reasonTable(answer.reasons, isOver(answer.crawl), crawl));
  }

  draw();
  put(reasons, reasonTable(shown.reasons, isOver(crawl), crawl));
  if (isOver(crawl)) return;

  const watching = new AbortController();
  signal.addEventListener("abort", () => watching.abort(), { once: true });
  follow(`/api/v2/crawls/${id}/events`, {
    signal,
    onProblem: tell,
    onState: (next, isLast) => {
      crawl = next;
      draw();
      if (!isLast) return;
      watching.abort();
      readReasons().catch(tell);
    },
  });
  poll(readReasons, REASONS_MS, watching.signal);
  let before = crawl.fetched;
  let at = Date.now();
  poll(async () => {
    const now = Date.now();
    if (now > at) {
      pace = Math.max(0, crawl.fetched - before) / ((now - at) / 1000);
      speed.add(pace);
    }
    before = crawl.fetched;
    at = now;
    draw();
  }, RATE_MS, watching.signal);
}

/** Named figures in a row. */
function figureRow(names) {
  const values = new Map(names.map((name) => [name, h("dd", null, "–")]));
  const node = h("dl", { class: "figures" }, names.map((name) => h("div", null, h("dt", null, name), values.get(name))));
  return {
    node,
    set: (name, value) => (value instanceof Node ? put(values.get(name), value) : say(values.get(name), value)),
  };
}

function reasonTable(reasons, over, crawl) {
  const title = h("h2", null, "What did not become a page, and why");
  if (reasons.length === 0) {
    return [title, h("p", { class: "muted" }, over ? "Everything that was found became a page." : "Nothing so far.")];
  }
  const rows = reasons.map((reason) =>
    tableRow(REASONS, [
      badge(reason.class),
      h("span", { dir: "auto" }, reason.reason),
      h("span", { title: `${percent(reason.count / Math.max(1, crawl.found))} of what was found` }, count(reason.count)),
      examples(reason.examples),
    ]),
  );
  return [title, h("div", { class: "card flush" }, table("Reasons", REASONS, rows).node)];
}

function examples(urls) {
  const item = (url) => h("li", { class: "clip", dir: "ltr" }, outside(url));
  if (urls.length <= 2) return h("ul", { class: "bare" }, urls.map(item));
  return h(
    "div",
    null,
    h("ul", { class: "bare" }, item(urls[0])),
    h("details", null, h("summary", null, `${urls.length - 1} more`), h("ul", { class: "bare" }, urls.slice(1).map(item))),
  );
}
