// How it all is doing, at a glance and while one watches.

import { get } from "../lib/api.js";
import { h, put, say } from "../lib/dom.js";
import { count, counted, milliseconds, percent, when } from "../lib/format.js";
import { poll } from "../lib/live.js";
import { empty, heading, keyedRows, loading, problem, table, tableRow } from "../lib/ui.js";
import { crawlBar, crawlState } from "./crawl-parts.js";
import { languageModelPart } from "./overview-llm.js";
import { cachePart, hostsPart, plotsPart, servicesPart } from "./overview-parts.js";

const EVERY_MS = 2000;
/** What changes slowly is read this often. */
const SLOW_MS = 10_000;
const RECENT = 8;

const QUEUE = [["Kind"], ["Waiting", "num"], ["Later", "num"], ["Running", "num"], ["Done", "num"], ["Dead", "num"]];
const CRAWLS = [["Source"], ["State"], ["What became of it", "wide"], ["Pages", "num"], ["Begun", "end"]];

export async function show({ root, signal, setTitle }) {
  setTitle("Overview");
  const body = h("div", null, loading());
  put(root, heading("Overview").node, body);
  const plots = plotsPart(signal);
  const cache = cachePart(signal);
  const hosts = hostsPart();
  const services = servicesPart();
  const model = languageModelPart(signal);
  const parts = pieces(plots, cache, hosts, services, model);
  let built = false;

  const look = async () => {
    try {
      const [status, { crawls }] = await Promise.all([
        get("/api/v2/system/status", { signal }),
        get("/api/v2/crawls", { query: { limit: RECENT }, signal }),
      ]);
      if (!built) put(body, status.stats.sources === 0 ? welcome() : null, parts.nodes);
      built = true;
      fill(parts, status, crawls);
      hosts.fill(status.broken_hosts);
      services.fill(status.services);
      plots.look(status, crawls);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      // A passing problem leaves the last figures standing.
      if (!built || error.status === 401) {
        built = false;
        put(body, problem(error, look));
      }
      throw error;
    }
  };
  poll(look, EVERY_MS, signal);
  poll(cache.look, SLOW_MS, signal);
  poll(model.look, SLOW_MS, signal);
  poll(async () => {
    const { sources, next } = await get("/api/v2/sources", { query: { limit: 500 }, signal });
    const n = sources.filter((source) => source.trouble).length;
    parts.trouble = n > 0 ? `${count(n)}${next ? " or more" : ""} in trouble` : "none in trouble";
    if (sources.length > 0) say(parts.totals.sources.note, parts.trouble);
  }, SLOW_MS, signal);
}

function welcome() {
  return empty(
    "Nothing gathered yet",
    "Add a website, and Gleaner crawls it into pages that you can search.",
    h("a", { class: "button primary", href: "#/sources/new" }, "Add a source"),
  );
}

function pieces(plots, cache, hosts, services, model) {
  const totals = {};
  const total = (name, label, href) => {
    const figure = h("strong", { class: "figure" }, "–");
    const note = h("span", { class: "note" });
    totals[name] = { figure, note };
    return h("li", null, h(href ? "a" : "div", { class: "card total", href }, h("span", { class: "label" }, label), figure, note));
  };
  const cards = h(
    "ul",
    { class: "totals" },
    total("sources", "Sources", "#/sources"),
    total("pages", "Live pages", "#/pages"),
    total("chunks", "Chunks"),
    total("vectors", "Vectors"),
    total("requests", "Request time, p50"),
  );
  const queue = table("Queue by kind of task", QUEUE);
  const crawls = table("Recent crawls", CRAWLS);
  const noQueue = h("p", { class: "muted pad" }, "No task has been queued yet.");
  const noCrawls = h("p", { class: "muted pad" }, "No crawl has run yet.");
  const all = h("p", { class: "section-more" }, h("a", { href: "#/crawls" }, "All crawls"));
  return {
    totals,
    trouble: "",
    queue: { rows: keyedRows(queue.body, queueRow), none: noQueue, table: queue.node },
    crawls: { rows: keyedRows(crawls.body, crawlRow), none: noCrawls, table: crawls.node },
    nodes: [
      cards,
      hosts.node,
      plots.node,
      section("Recent crawls", h("div", { class: "card flush" }, crawls.node, noCrawls), all),
      section("Queue", h("div", { class: "card flush" }, queue.node, noQueue)),
      model.node,
      services.node,
      cache.node,
    ],
  };
}

function section(title, ...content) {
  return h("section", { "aria-label": title }, h("h2", null, title), content);
}

function fill({ totals, trouble, queue, crawls }, status, recent) {
  const { stats, requests, vectors } = status;
  const set = (name, figure, note) => {
    say(totals[name].figure, figure);
    say(totals[name].note, note);
  };
  set("sources", count(stats.sources), stats.sources === 0 ? "add the first" : trouble);
  set("pages", count(stats.pages_live), stats.pages > stats.pages_live ? `${count(stats.pages - stats.pages_live)} gone` : "all there");
  set("chunks", count(stats.chunks), "passages to find");
  // Of all tenants together, so only the operator is told.
  if (vectors) set("vectors", count(vectors.done), vectorNote(vectors));
  totals.vectors.figure.closest("li").hidden = !vectors;
  set(
    "requests",
    milliseconds(requests.p50_ms),
    `p95 ${milliseconds(requests.p95_ms)}, ${requests.errors > 0 ? `${percent(requests.error_rate)} errors` : "no errors"}`,
  );
  totals.requests.figure.closest(".card").title = `Of the last ${counted(requests.requests, "request")}`;
  const list = (part, items, id) => {
    part.rows(items, id);
    part.table.hidden = items.length === 0;
    part.none.hidden = items.length > 0;
  };
  list(queue, stats.tasks.kinds, (kind) => kind.kind);
  list(crawls, recent, (crawl) => crawl.id);
}

function vectorNote({ pending, failed }) {
  const parts = [];
  if (pending > 0) parts.push(`${count(pending)} pending`);
  if (failed > 0) parts.push(`${count(failed)} failed`);
  return parts.join(", ") || "none pending";
}

function queueRow(kind) {
  const link = (n, state) =>
    n > 0 ? h("a", { href: `#/tasks?kind=${encodeURIComponent(kind.kind)}&state=${state}` }, count(n)) : "0";
  return tableRow(QUEUE, [
    h("span", null, kind.kind, kind.paused && h("span", { class: "badge paused" }, "paused")),
    link(kind.queued, "queued"),
    link(kind.scheduled, "scheduled"),
    link(kind.running, "running"),
    count(kind.succeeded_ever),
    link(kind.dead, "dead"),
  ]);
}

function crawlRow(crawl) {
  return tableRow(CRAWLS, [
    h("a", { href: `#/crawls/${crawl.id}`, dir: "auto" }, crawl.source_name ?? "a removed source"),
    crawlState(crawl),
    crawlBar(crawl),
    count(crawl.found),
    when(crawl.started_at),
  ]);
}
