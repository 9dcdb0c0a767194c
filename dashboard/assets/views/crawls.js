// All crawls, of all sources or one, newest first.

import { get } from "../lib/api.js";
import { h, newId, put } from "../lib/dom.js";
import { count, rate, seconds, when } from "../lib/format.js";
import { allSources, liveList } from "../lib/live-list.js";
import { empty, heading, subNav, tableRow } from "../lib/ui.js";
import { crawlBar, crawlState, isOver } from "./crawl-parts.js";

const EVERY_MS = 2000;
const COLUMNS = [["Source", "name"], ["State"], ["What became of it", "wide"], ["Pages", "num"], ["Pages/s", "num"], ["Took", "num"], ["Begun", "end"]];

export const SOURCES_NAV = [["#/sources", "Sources"], ["#/crawls", "Crawls"]];

export async function show({ root, query, signal, setTitle, setQuery }) {
  setTitle("Crawls");
  const filters = { source: query.get("source") ?? "" };
  const choice = h("select", { id: newId() });
  const bar = h("div", { class: "filters" }, h("div", { class: "field" }, h("label", { for: choice.id }, "Source"), choice));
  const list = liveList({
    caption: "Crawls, newest first",
    columns: COLUMNS,
    row: crawlRow,
    read: async ({ limit, after }) => {
      const { crawls, next } = await get("/api/v2/crawls", { query: { ...filters, limit, before: after }, signal });
      return { items: crawls, next };
    },
    nothing: () => empty("No crawl yet", "A crawl fetches the pages of a source and makes them searchable.", h("a", { class: "button primary", href: "#/sources" }, "Go to the sources")),
    every_ms: EVERY_MS,
    signal,
  });
  put(root, heading("Crawls", { lead: "Every run over every source." }).node, subNav("Sources and crawls", SOURCES_NAV, "#/crawls"), bar, list.node);

  const sources = await allSources(signal);
  put(choice, h("option", { value: "" }, "Any"), sources.map((source) => h("option", { value: source.id }, source.name)));
  choice.value = filters.source;
  choice.addEventListener("change", () => {
    filters.source = choice.value;
    setQuery(filters);
    list.reset();
  });
}

function crawlRow(crawl) {
  const name = crawl.source_name ?? "a removed source";
  return tableRow(COLUMNS, [
    h("div", null,
      h("a", { href: `#/crawls/${crawl.id}`, class: "strong", dir: "auto" }, name),
      h("span", { class: "note" }, isOver(crawl) ? ` #${crawl.id}` : ` #${crawl.id}, watch live`)),
    crawlState(crawl),
    crawlBar(crawl),
    count(crawl.found),
    // Of a run that goes on, the server adds the time up at its end.
    isOver(crawl) ? rate(crawl.pages_per_s) : "",
    isOver(crawl) ? seconds(crawl.duration_ms / 1000) : "",
    when(crawl.started_at),
  ]);
}
