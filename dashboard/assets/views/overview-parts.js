// Parts of the overview that are looked at in their own time.

import { get } from "../lib/api.js";
import { h, put, say } from "../lib/dom.js";
import { bytes, count, counted, exactly, percent, rate, when } from "../lib/format.js";
import { poll } from "../lib/live.js";
import { plot } from "../lib/plot.js";
import { badge, keyedRows, table, tableRow } from "../lib/ui.js";

/** Answers that say: not with this key. */
const REFUSED = [401, 403];

/**
 * The last hour as the server remembers it. Who may not see all tenants'
 * figures sees those of their own, for as long as they watch.
 */
export function plotsPart(signal) {
  const plots = {
    pages: plot({ title: "Pages fetched per second", text: rate }),
    queue: plot({ title: "Tasks", lines: ["waiting", "running"], text: count }),
    requests: plot({ title: "Requests/s", lines: ["all", "errors"], text: rate }),
    cache: plot({ title: "Answers from the cache", text: percent, top: 1 }),
  };
  const title = h("h2", null, "Last hour");
  const node = h("section", { "aria-label": "Figures over time" }, title, h("div", { class: "plots" }, Object.values(plots).map((one) => one.node)));
  let samples = [];
  let own = null;

  function show() {
    plots.pages.fill(samples.map((one) => one.pages_per_s));
    plots.queue.fill(samples.map((one) => [one.tasks_waiting, one.tasks_running]));
    plots.requests.fill(samples.map((one) => [one.requests_per_s, one.errors_per_s]));
    // Where nothing was asked for, it is what it was.
    let rate = null;
    plots.cache.fill(samples.map((one) => (rate = one.cache_hit_rate ?? rate)));
  }

  const remembered = async () => {
    try {
      const answer = await get("/api/v2/metrics/history", { query: { since: samples.at(-1)?.at }, signal });
      samples = [...samples, ...answer.samples].slice(-answer.samples_max);
      if (answer.samples.length > 0) show();
      const minutes = Math.max(1, Math.round((samples.length * answer.every_s) / 60));
      say(title, minutes >= 60 ? "Last hour" : minutes === 1 ? "Last minute" : `Last ${counted(minutes, "minute")}`);
    } catch (error) {
      if (!REFUSED.includes(error.status)) throw error;
      own ??= pace();
      say(title, "While you watch");
      plots.requests.node.hidden = true;
      plots.cache.node.hidden = true;
      throw error;
    }
  };
  poll(remembered, 5000, signal);

  return {
    node,
    look: (status, crawls) => {
      if (!own) return;
      plots.pages.add(own(crawls));
      plots.queue.add([status.stats.tasks.queued, status.stats.tasks.running]);
    },
  };
}

/** Pages answered per second, from two looks at the newest crawls. */
function pace() {
  let before = null;
  let at = Date.now();
  return (crawls) => {
    const now = Date.now();
    const fetched = new Map(crawls.map((crawl) => [crawl.id, crawl.fetched]));
    let more = 0;
    for (const [id, n] of fetched) if (before) more += Math.max(0, n - (before.get(id) ?? 0));
    const value = now > at ? more / ((now - at) / 1000) : 0;
    [before, at] = [fetched, now];
    return value;
  };
}

const HOSTS = [["Host", "name"], ["Failing since"], ["Left alone until", "end"]];

const SERVICES = [["Service", "name"], ["Breaker"], ["Failures in a row", "num"], ["Left alone until", "end"]];
const BREAKERS = { closed: ["succeeded", "closed: it is asked"], open: ["failed", "open: it is left alone"], half_open: ["paused", "half open: one call finds out"] };

/** Services asked over the network; nothing while there are none. */
export function servicesPart() {
  const list = table("Services that this one depends on", SERVICES);
  const rows = keyedRows(list.body, (one) => {
    const [state, text] = BREAKERS[one.breaker] ?? ["new", one.breaker];
    return tableRow(SERVICES, [one.name, badge(state, text), count(one.failures_in_a_row), when(one.open_until)]);
  });
  const node = h("section", { "aria-label": "Services", hidden: true }, h("h2", null, "Services"), h("div", { class: "card flush" }, list.node));
  return {
    node,
    fill: (services) => {
      rows(services ?? [], (one) => one.name);
      node.hidden = !services?.length;
    },
  };
}

/** Hosts whose circuit breaker is open; nothing while there are none. */
export function hostsPart() {
  const list = table("Hosts that are left alone", HOSTS);
  const rows = keyedRows(list.body, (one) =>
    tableRow(HOSTS, [
      h("span", { dir: "ltr", class: "break" }, one.host, " ", badge("failed", "breaker open")),
      when(one.broken_since),
      h("span", null, when(one.open_until), h("span", { class: "note" }, ` ${exactly(one.open_until)}`)),
    ]),
  );
  const node = h(
    "section",
    { "aria-label": "Hosts that are left alone", hidden: true },
    h("h2", null, "Hosts that are left alone"),
    h("p", { class: "note lead-note" }, "They kept failing. Your crawls ask them again when their time is over."),
    h("div", { class: "card flush" }, list.node),
  );
  return {
    node,
    fill: (hosts) => {
      rows(hosts, (one) => one.host);
      node.hidden = hosts.length === 0;
    },
  };
}

const CACHE = [["Area", "name"], ["Tier"], ["Answered", "num"], ["Asked", "num"], ["Hit rate", "num"], ["Entries", "num"], ["Size", "num"], ["Dropped", "num"]];

/** What the cache keeps, by area and tier; for whoever runs the service. */
export function cachePart(signal) {
  const list = table("Cache by area and tier", CACHE);
  const rows = keyedRows(list.body, ({ area, tier, stats }) =>
    tableRow(CACHE, [
      h("span", { class: "strong" }, area),
      tier,
      count(stats.hits),
      count(stats.hits + stats.misses),
      percent(stats.hit_rate ?? Number.NaN),
      count(stats.entries),
      bytes(stats.bytes),
      count(stats.evictions),
    ]),
  );
  const disk = h("p", { class: "note lead-note" });
  const node = h("section", { "aria-label": "Cache", hidden: true }, h("h2", null, "Cache"), disk, h("div", { class: "card flush" }, list.node));
  return {
    node,
    look: async () => {
      try {
        const { areas, total, disk_works: works, redis_works: shared } = await get("/api/v2/cache/stats", { signal });
        const named = [...Object.entries(areas), ...(Object.keys(areas).length === 1 ? [] : [["all", total]])];
        const all = named.flatMap(([area, stats]) => [
          { area, tier: "memory", stats: stats.memory },
          { area, tier: "disk", stats: stats.disk },
          ...(shared === null ? [] : [{ area, tier: "redis", stats: stats.redis }]),
        ]);
        rows(all, (one) => `${one.area} ${one.tier}`);
        put(disk, works ? "" : "The disk cannot be used: answers are kept in memory alone.");
        disk.hidden = works;
        node.hidden = false;
      } catch (error) {
        node.hidden = REFUSED.includes(error.status);
        throw error;
      }
    },
  };
}
