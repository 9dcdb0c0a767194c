// How it all is doing, at a glance and while one watches.

import { get } from "../lib/api.js";
import { h, put, say } from "../lib/dom.js";
import { count, counted, milliseconds, percent, rate, when } from "../lib/format.js";
import { poll } from "../lib/live.js";
import { plot } from "../lib/plot.js";
import { empty, heading, keyedRows, loading, problem, table, tableRow } from "../lib/ui.js";
import { crawlBar, crawlState } from "./crawl-parts.js";

const EVERY_MS = 2000;
/** Sources are read this often while nothing runs. */
const IDLE_MS = 10_000;
const RECENT = 8;

const QUEUE = [["Kind"], ["Waiting", "num"], ["Later", "num"], ["Running", "num"], ["Done", "num"], ["Dead", "num"]];
const CRAWLS = [["Source"], ["State"], ["What became of it", "wide"], ["Pages", "num"], ["Begun", "end"]];

export async function show({ root, signal, setTitle }) {
  setTitle("Overview");
  const body = h("div", null, loading());
  put(root, heading("Overview").node, body);
  const parts = pieces();
  let built = false;
  const rates = pageRate();

  const look = async () => {
    let status;
    try {
      status = await get("/api/v2/system/status", { signal });
      const running = status.stats.tasks.running > 0;
      const sources = await rates.sources(running, signal);
      if (!built) put(body, status.stats.sources === 0 ? welcome() : null, parts.nodes);
      built = true;
      fill(parts, status, sources, rates.now());
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
}

function welcome() {
  return empty(
    "Nothing gathered yet",
    "Add a website, and Gleaner crawls it into pages that you can search.",
    h("a", { class: "button primary", href: "#/sources/new" }, "Add a source"),
  );
}

function pieces() {
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
  const plots = {
    pages: plot({ title: "Pages fetched per second", text: rate }),
    queue: plot({ title: "Tasks", lines: ["waiting", "running"], text: count }),
    latency: plot({ title: "Request time", lines: ["p95", "p50"], text: milliseconds }),
  };
  const queue = table("Queue by kind of task", QUEUE);
  const crawls = table("Recent crawls", CRAWLS);
  const noQueue = h("p", { class: "muted pad" }, "No task has been queued yet.");
  const noCrawls = h("p", { class: "muted pad" }, "No crawl has run yet.");
  return {
    totals,
    plots,
    queue: { rows: keyedRows(queue.body, queueRow), none: noQueue, table: queue.node },
    crawls: { rows: keyedRows(crawls.body, crawlRow), none: noCrawls, table: crawls.node },
    nodes: [
      cards,
      section("While you watch", h("div", { class: "plots" }, Object.values(plots).map((one) => one.node))),
      section("Recent crawls", h("div", { class: "card flush" }, crawls.node, noCrawls)),
      section("Queue", h("div", { class: "card flush" }, queue.node, noQueue)),
    ],
  };
}

function section(title, ...content) {
  return h("section", { "aria-label": title }, h("h2", null, title), content);
}

function fill({ totals, plots, queue, crawls }, status, sources, pagesPerS) {
  const { stats, requests, vectors } = status;
  const set = (name, figure, note) => {
    say(totals[name].figure, figure);
    say(totals[name].note, note);
  };
  set("sources", count(stats.sources), stats.sources === 0 ? "add the first" : troubles(sources));
  set("pages", count(stats.pages_live), stats.pages > stats.pages_live ? `${count(stats.pages - stats.pages_live)} gone` : "all there");
  set("chunks", count(stats.chunks), "passages to find");
  // Of all tenants together, so only the operator is told.
  if (vectors) set("vectors", count(vectors.done), vectorNote(vectors));
  totals.vectors.figure.closest(".card").hidden = !vectors;
  set(
    "requests",
    milliseconds(requests.p50_ms),
    `p95 ${milliseconds(requests.p95_ms)}, ${requests.errors > 0 ? `${percent(requests.error_rate)} errors` : "no errors"}`,
  );
  totals.requests.figure.closest(".card").title = `Of the last ${counted(requests.requests, "request")}`;
  plots.pages.add(pagesPerS);
  plots.queue.add([stats.tasks.queued, stats.tasks.running]);
  plots.latency.add([requests.p95_ms, requests.p50_ms]);
  const list = (part, items, id) => {
    part.rows(items, id);
    part.table.hidden = items.length === 0;
    part.none.hidden = items.length > 0;
  };
  list(queue, stats.tasks.kinds, (kind) => kind.kind);
  const recent = sources
    .filter((source) => source.last_crawl)
    .sort((a, b) => b.last_crawl.started_at.localeCompare(a.last_crawl.started_at))
    .slice(0, RECENT);
  list(crawls, recent.map(({ id, name, last_crawl }) => ({ id, name, last_crawl })), (source) => source.id);
}

function troubles(sources) {
  const n = sources.filter((source) => source.trouble).length;
  return n > 0 ? `${n} in trouble` : "none in trouble";
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

function crawlRow({ name, last_crawl: crawl }) {
  return tableRow(CRAWLS, [
    h("a", { href: `#/crawls/${crawl.id}`, dir: "auto" }, name),
    crawlState(crawl),
    crawlBar(crawl),
    count(crawl.found),
    when(crawl.started_at),
  ]);
}

/** Pages answered per second, from two looks at the crawls that run. */
function pageRate() {
  let known = [];
  let lookedAt = 0;
  let before = new Map();
  let value = 0;
  let wasRunning = true;
  return {
    async sources(running, signal) {
      // Once more after the last one ended, for its outcome.
      const due = running || wasRunning || Date.now() - lookedAt > IDLE_MS;
      wasRunning = running;
      if (!due) {
        value = 0;
        return known;
      }
      known = (await get("/api/v2/sources", { signal })).sources;
      const now = Date.now();
      const fetched = new Map();
      let more = 0;
      for (const { last_crawl: crawl } of known) {
        if (!crawl) continue;
        fetched.set(crawl.id, crawl.fetched);
        if (lookedAt > 0) more += crawl.fetched - (before.get(crawl.id) ?? 0);
      }
      value = lookedAt > 0 ? Math.max(0, more) / ((now - lookedAt) / 1000) : 0;
      before = fetched;
      lookedAt = now;
      return known;
    },
    now: () => value,
  };
}
