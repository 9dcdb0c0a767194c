// All sources: what is crawled, how it goes, when it is next.

import { get } from "../lib/api.js";
import { foreign, h, put } from "../lib/dom.js";
import { count, counted, path, host, percent, seconds, when } from "../lib/format.js";
import { liveList } from "../lib/live-list.js";
import { badge, empty, heading, subNav, tableRow } from "../lib/ui.js";
import { crawlState } from "./crawl-parts.js";
import { SOURCES_NAV } from "./crawls.js";

const EVERY_MS = 3000;
const WAIT_MS = 250;
/** From so many on, a filter helps more than it clutters. */
const FILTER_FROM = 8;
/** Of what was found, failed: from here on worth a look. */
const FAILED_SHARE = 0.05;

const COLUMNS = [["Name", "name"], ["Health"], ["Starts at", "wide"], ["Pages", "num"], ["Last crawl"], ["Next", "end"]];

export async function show({ root, query, signal, setTitle, setQuery }) {
  setTitle("Sources");
  const add = h("a", { class: "button primary", href: "#/sources/new" }, "Add a source");
  let part = query.get("q") ?? "";
  let timer;
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  const filter = h("input", {
    type: "search",
    "aria-label": "Filter sources by name or URL",
    placeholder: "Filter by name or URL",
    value: part,
    maxlength: 200,
    on: {
      input: () => {
        clearTimeout(timer);
        timer = setTimeout(() => {
          part = filter.value.trim();
          setQuery({ q: part });
          list.reset();
        }, WAIT_MS);
      },
    },
  });
  const bar = h("div", { class: "filters", hidden: true }, filter);
  const list = liveList({
    caption: "Sources",
    columns: COLUMNS,
    row: sourceRow,
    read: async ({ limit, after }) => {
      const { sources, next } = await get("/api/v2/sources", { query: { q: part, limit, after }, signal });
      bar.hidden = sources.length < FILTER_FROM && !next && !part && document.activeElement !== filter;
      return { items: sources, next };
    },
    nothing: () =>
      part
        ? h("p", { class: "muted pad" }, "No source matches.")
        : empty(
            "No sources yet",
            "Tell Gleaner where a website begins. It follows the links from there and comes back as often as you like.",
            h("a", { class: "button primary", href: "#/sources/new" }, "Add the first source"),
          ),
    every_ms: EVERY_MS,
    signal,
  });
  const head = heading("Sources", { lead: "Websites that are crawled again and again.", actions: [add] });
  put(root, head.node, subNav("Sources and crawls", SOURCES_NAV, "#/sources"), bar, list.node);
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
    health(source),
    h("span", { class: "clip", title: seed, dir: "ltr" }, host(seed) + path(seed), more > 0 && h("span", { class: "muted" }, ` and ${counted(more, "more", "more")}`)),
    h("a", { href: `#/pages?source=${source.id}` }, count(source.pages)),
    crawl
      ? h("a", { href: `#/crawls/${crawl.id}`, class: "plain" }, crawlState(crawl), " ", when(crawl.finished_at ?? crawl.started_at))
      : h("span", { class: "muted" }, "never"),
    h("div", null, next(source), h("div", { class: "note" }, schedule(source))),
  ]);
}

/** In a word, with the reason behind it. */
export function health(source) {
  const crawl = source.last_crawl;
  const told = (state, word, why) => h("span", { title: why }, badge(state, word));
  if (source.trouble) return told("failed", "in trouble", source.trouble);
  if (source.failures_in_a_row > 0) {
    const n = source.failures_in_a_row;
    return told("failed", n === 1 ? "last crawl failed" : `${count(n)} failed in a row`, "Its crawls stored nothing.");
  }
  if (!crawl) return told("new", "not crawled", "Its first crawl is still to come.");
  const share = crawl.found > 0 ? crawl.failed / crawl.found : 0;
  if (share >= FAILED_SHARE) return told("paused", `${percent(share)} failed`, `${counted(crawl.failed, "URL")} of the last crawl failed.`);
  return told("succeeded", "well", "Its last crawl went well.");
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
  if (source.cron) return `by cron ${source.cron}`;
  if (source.every_s) return `every ${seconds(source.every_s)}`;
  return "when asked";
}
