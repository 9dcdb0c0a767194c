// One source: its schedule, its crawls, and what can be done with it.

import { get, send } from "../lib/api.js";
import { foreign, h, newId, outside, put } from "../lib/dom.js";
import { count, counted, money, rate, seconds, when } from "../lib/format.js";
import { confirm } from "../lib/dialog.js";
import { poll } from "../lib/live.js";
import { action, empty, facts, heading, keyedRows, loading, problem, table, tableRow, toast } from "../lib/ui.js";
import { crawlBar, crawlState, isOver } from "./crawl-parts.js";
import { sourceForm } from "./source-form.js";
import { next, schedule } from "./sources.js";

const EVERY_MS = 2000;
const SEEDS_SHOWN = 5;

const CRAWLS = [["Crawl"], ["State"], ["What became of it", "wide"], ["Pages", "num"], ["Pages/s", "num"], ["Took", "num"], ["Begun", "end"]];

export async function show({ root, id, signal, setTitle }) {
  const head = h("div", null, loading());
  const about = h("div");
  const crawls = h("section", { "aria-label": "Crawls" });
  put(root, head, about, crawls);
  const list = table("Crawls of this source, newest first", CRAWLS);
  const rows = keyedRows(list.body, crawlRow);
  let source = null;
  let editing = false;
  let drawn = "";

  const look = async () => {
    let found;
    try {
      const both = [get(`/api/v2/sources/${id}`, { signal }), get("/api/v2/crawls", { query: { source: id }, signal })];
      [source, found] = await Promise.all(both);
    } catch (error) {
      // Of the removal, another tab may have been the author.
      if (error.name !== "AbortError" && (!drawn || error.status === 404)) put(root, problem(error));
      throw error;
    }
    setTitle(source.name);
    draw();
    rows(found.crawls, (crawl) => crawl.id);
    if (found.crawls.length > 0) put(crawls, h("h2", null, "Crawls"), h("div", { class: "card flush" }, list.node));
    else put(crawls, empty("Not crawled yet", "A crawl fetches its pages and makes them searchable.", crawlNow()));
  };
  const again = poll(look, EVERY_MS, signal);

  /** Anew only when something changed: the focus is to stay where it is. */
  function draw(force) {
    const text = JSON.stringify({ ...source, last_crawl: source.last_crawl && isOver(source.last_crawl) });
    if (editing || (text === drawn && !force)) return;
    drawn = text;
    const controls = () => [...head.querySelectorAll("a, button")];
    const held = controls().indexOf(document.activeElement);
    const top = heading(source.name, { lead: lead(), actions: actions() });
    put(head, top.node);
    put(about, source.trouble && trouble(source), about_());
    if (held >= 0) controls()[held]?.focus();
    else if (document.activeElement === document.body) head.querySelector("h1").focus({ preventScroll: true });
  }

  function lead() {
    return [counted(source.pages, "page"), ", crawled ", schedule(source), source.next_due_at && source.active ? [", next ", when(source.next_due_at)] : null];
  }

  function actions() {
    const toggle = source.active ? "Pause schedule" : "Resume schedule";
    const hasSchedule = source.cron || source.every_s || source.adaptive;
    return [
      crawlNow(),
      action("Summarise", summarize),
      action("Edit", edit),
      hasSchedule && action(toggle, async () => {
        source = await send("PATCH", `/api/v2/sources/${id}`, { body: { active: !source.active } });
        toast(source.active ? "It is crawled by schedule again." : "It is crawled only when asked, until you resume it.");
        draw();
      }),
      action("Remove", remove, { class: "danger ghost" }),
    ];
  }

  function crawlNow() {
    return action(
      "Crawl now",
      async () => {
        const { task_id: task, created } = await send("POST", `/api/v2/sources/${id}/crawl`, { body: {} });
        toast(created ? `Queued as task ${task}.` : `Task ${task} does this already.`);
        again();
      },
      { class: "primary" },
    );
  }

  /** Says first what it will take: a language model costs money. */
  async function summarize() {
    const of = { source: Number(id) };
    const { estimate } = await send("POST", "/api/v2/summaries", { body: { ...of, dry_run: true }, signal });
    if (estimate.pages === 0) {
      toast("Every page of it has a summary of its present text.");
      return;
    }
    const by = estimate.model
      ? `${counted(estimate.pages, "page")} by ${estimate.model}: about ${counted(estimate.calls, "call")} and ${counted(estimate.tokens_in + estimate.tokens_out, "token")}${typeof estimate.cost === "number" ? `, ${money(estimate.cost)} ${estimate.currency}` : ""}.`
      : `${counted(estimate.pages, "page")} by their own sentences: no language model is configured, and it costs nothing.`;
    const sure = await confirm({ title: "Summarise the pages of this source?", body: h("p", null, by), verb: "Summarise", keep: "Not now" });
    if (!sure) return;
    const { task_ids: tasks } = await send("POST", "/api/v2/summaries", { body: of });
    toast(`Queued as task ${tasks.join(", ")}.`);
  }

  function edit() {
    editing = true;
    const end = () => {
      editing = false;
      draw(true);
      head.querySelector("h1").focus();
    };
    const form = sourceForm({
      source,
      verb: "Save",
      cancel: h("button", { type: "button", class: "ghost", on: { click: end } }, "Cancel"),
      save: async (body) => {
        source = await send("PATCH", `/api/v2/sources/${id}`, { body });
        toast("Saved.");
        end();
      },
    });
    put(about, form);
    form.querySelector("textarea, input").focus();
  }

  async function remove() {
    const choice = (value, title, note, checked) => {
      const input = h("input", { type: "radio", name: "pages", value, id: newId(), checked });
      return h("p", { class: "check" }, input, h("label", { for: input.id }, title, h("span", { class: "hint" }, note)));
    };
    const answer = await confirm({
      title: "Remove this source?",
      verb: "Remove",
      danger: true,
      body: [
        h("p", null, foreign(source.name), " is not crawled any more, and the log of its crawls goes. This cannot be undone."),
        choice("keep", "Keep its pages", "They stay searchable.", true),
        choice("delete", `Delete its ${counted(source.pages, "page")}, too`, "With their versions, chunks and vectors.", false),
      ],
    });
    if (!answer) return;
    const query = { keep_pages: answer.get("pages") === "keep" };
    const { pages_deleted: gone } = await send("DELETE", `/api/v2/sources/${id}`, { query });
    toast(gone > 0 ? `Removed, with ${counted(gone, "page")}.` : "Removed; its pages stay.");
    window.location.hash = "#/sources";
  }

  function about_() {
    const { settings } = source;
    const seeds = source.seeds.slice(0, SEEDS_SHOWN).map((url) => h("div", { class: "clip", dir: "ltr" }, outside(url)));
    const more = source.seeds.length - SEEDS_SHOWN;
    return h(
      "section",
      { class: "card", "aria-label": "About this source" },
      facts([
        ["Starts at", h("div", null, seeds, more > 0 && h("p", { class: "note" }, `and ${counted(more, "more", "more")}`))],
        ["Pages", h("a", { href: `#/pages?source=${id}` }, counted(source.pages, "live page"))],
        ["Schedule", h("span", null, schedule(source), !source.active && [" ", next(source)])],
        ["Added", when(source.created_at)],
        ...Object.entries(settings).filter(([name]) => name !== "record").map(([name, value]) => [SETTINGS[name] ?? name, setting(name, value)]),
      ]),
      settings.record && h("details", null, h("summary", null, "Record rules"), h("pre", { dir: "ltr", tabindex: "0", role: "group", "aria-label": "Record rules" }, h("code", null, JSON.stringify(settings.record, null, 2)))),
    );
  }
}

const SETTINGS = {
  pages_max: "Pages at most",
  scope: "Scope",
  delay_ms: "Delay, ms",
  concurrency: "Requests at once",
  depth_max: "Links deep",
  include: "Only",
  exclude: "Not",
  summarize: "Summaries",
};

function setting(name, value) {
  if (name === "summarize") return value ? "After each crawl" : "Only when asked";
  if (Array.isArray(value)) return value.join(", ");
  return typeof value === "number" ? count(value) : String(value);
}

function trouble(source) {
  return h(
    "div",
    { class: "card warning", role: "note" },
    h("strong", null, "In trouble: "),
    foreign(source.trouble),
    source.failures_in_a_row > 1 && ` (${count(source.failures_in_a_row)} crawls in a row failed)`,
  );
}

function crawlRow(crawl) {
  return tableRow(CRAWLS, [
    h("a", { href: `#/crawls/${crawl.id}`, class: "strong" }, isOver(crawl) ? `#${crawl.id}` : `#${crawl.id}, watch live`),
    crawlState(crawl),
    crawlBar(crawl),
    count(crawl.found),
    rate(crawl.pages_per_s),
    seconds(crawl.duration_ms / 1000),
    when(crawl.started_at),
  ]);
}
