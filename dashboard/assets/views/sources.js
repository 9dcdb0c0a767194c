// All sources: what is crawled, how it went, when it is next.

import { get } from "../lib/api.js";
import { foreign, h, put } from "../lib/dom.js";
import { count, counted, path, host, seconds, when } from "../lib/format.js";
import { poll } from "../lib/live.js";
import { empty, heading, keyedRows, loading, problem, table, tableRow } from "../lib/ui.js";
import { crawlState } from "./crawl-parts.js";

const EVERY_MS = 3000;
/** From so many on, a filter helps more than it clutters. */
const FILTER_FROM = 8;

const COLUMNS = [["Name", "name"], ["Starts at", "wide"], ["Pages", "num"], ["Last crawl"], ["Next", "end"]];

export async function show({ root, query, signal, setTitle, setQuery }) {
  setTitle("Sources");
  const add = h("a", { class: "button primary", href: "#/sources/new" }, "Add a source");
  const body = h("div", null, loading());
  put(root, heading("Sources", { lead: "Websites that are crawled again and again.", actions: [add] }).node, body);

  const list = table("Sources", COLUMNS);
  const rows = keyedRows(list.body, sourceRow);
  const none = h("p", { class: "muted pad", hidden: true }, "No source matches.");
  const filter = h("input", {
    type: "search",
    "aria-label": "Filter sources by name or URL",
    placeholder: "Filter by name or URL",
    value: query.get("q") ?? "",
    on: {
      input: () => {
        setQuery({ q: filter.value });
        draw();
      },
    },
  });
  const bar = h("div", { class: "filters" }, filter);
  let sources = [];
  let built = false;

  function draw() {
    const words = filter.value.trim().toLowerCase();
    const fits = (source) => `${source.name} ${source.seeds.join(" ")}`.toLowerCase().includes(words);
    const found = sources.filter(fits);
    rows(found, (source) => source.id);
    list.node.hidden = found.length === 0;
    none.hidden = found.length > 0;
    bar.hidden = sources.length < FILTER_FROM && !filter.value;
  }

  const look = async () => {
    try {
      ({ sources } = await get("/api/v2/sources", { signal }));
    } catch (error) {
      if (error.name !== "AbortError" && !built) put(body, problem(error, look));
      throw error;
    }
    if (sources.length === 0) {
      built = false;
      put(
        body,
        empty(
          "No sources yet",
          "Tell Gleaner where a website begins. It follows the links from there and comes back as often as you like.",
          h("a", { class: "button primary", href: "#/sources/new" }, "Add the first source"),
        ),
      );
      return;
    }
    if (!built) put(body, bar, h("div", { class: "card flush" }, list.node, none));
    built = true;
    draw();
  };
  poll(look, EVERY_MS, signal);
}

function sourceRow(source) {
  const [seed] = source.seeds;
  const crawl = source.last_crawl;
  const more = source.seeds.length - 1;
  return tableRow(COLUMNS, [
    h(
      "div",
      null,
      h("a", { href: `#/sources/${source.id}`, class: "strong", dir: "auto" }, source.name),
      source.trouble && h("p", { class: "trouble" }, h("span", { "aria-hidden": "true" }, "⚠ "), foreign(source.trouble)),
    ),
    h("span", { class: "clip", title: seed, dir: "ltr" }, host(seed) + path(seed), more > 0 && h("span", { class: "muted" }, ` and ${counted(more, "more", "more")}`)),
    h("a", { href: `#/pages?source=${source.id}` }, count(source.pages)),
    crawl
      ? h("a", { href: `#/crawls/${crawl.id}`, class: "plain" }, crawlState(crawl), " ", when(crawl.finished_at ?? crawl.started_at))
      : h("span", { class: "muted" }, "never"),
    h("div", null, next(source), h("div", { class: "note" }, schedule(source))),
  ]);
}

export function next(source) {
  if (!source.active) return h("span", { class: "badge paused" }, "paused");
  return source.next_due_at ? when(source.next_due_at) : "";
}

/** When it is crawled, in words. */
export function schedule(source) {
  if (source.adaptive) {
    const { min_s, max_s } = source.adaptive;
    const now = source.interval_s ? `, now ${seconds(source.interval_s)}` : "";
    return `every ${seconds(min_s)} to ${seconds(max_s)}${now}`;
  }
  if (source.cron) return `cron ${source.cron}`;
  if (source.every_s) return `every ${seconds(source.every_s)}`;
  return "when asked";
}
