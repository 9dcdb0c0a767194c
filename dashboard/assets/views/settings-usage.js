// What a tenant has used, against what it may use.

import { get } from "../lib/api.js";
import { h, put } from "../lib/dom.js";
import { bytes, count, day } from "../lib/format.js";
import { poll } from "../lib/live.js";
import { loading, meter, table, tableRow } from "../lib/ui.js";
import { frame, refused, tenantChoice } from "./settings-nav.js";

const EVERY_MS = 10_000;
const DAYS = [["7", "7 days"], ["30", "30 days"], ["90", "90 days"], ["366", "A year"]];
/** Metric, its column, and how it is written; a column is shown when there is something in it. */
const METRICS = [["requests", "Requests", count], ["pages", "Pages", count], ["bytes", "Received", bytes], ["tokens_in", "Tokens in", count], ["tokens_out", "Tokens out", count]];

export async function show({ root, query, signal, setTitle, setQuery }) {
  setTitle("Usage");
  const asked = { tenant: query.get("tenant") ?? "", days: query.get("days") ?? "30" };
  const place = frame(root, "#/settings/usage", { title: "Usage", lead: "What was used, day by day in UTC, and what may be." });
  const whose = h("div");
  const body = h("div", null, loading());
  put(place, whose, body);
  let drawn = "";
  const look = async () => {
    try {
      const answer = await get("/api/v2/admin/usage", { query: asked, signal });
      const text = JSON.stringify(answer);
      if (text === drawn) return;
      drawn = text;
      put(body, draw(answer));
    } catch (error) {
      if (error.name !== "AbortError" && !drawn) put(body, refused(error, look));
      throw error;
    }
  };
  const again = poll(look, EVERY_MS, signal);
  const change = (name) => (value) => {
    asked[name] = value;
    setQuery(asked);
    again();
  };
  const tenants = await tenantChoice(signal, asked.tenant, change("tenant"));
  const days = h("select", { "aria-label": "How far back", on: { change: () => change("days")(days.value) } }, DAYS.map(([value, text]) => h("option", { value }, text)));
  days.value = DAYS.some(([value]) => value === asked.days) ? asked.days : "30";
  const bar = tenants ?? h("div", { class: "filters" });
  bar.append(h("div", { class: "field" }, h("span", { class: "label", "aria-hidden": "true" }, "Last"), days));
  put(whose, bar);
}

function draw({ tenant, usage }) {
  const { has, quota } = tenant;
  const byDay = new Map();
  for (const { day: date, metric, amount } of usage) {
    byDay.set(date, { ...byDay.get(date), [metric]: amount });
  }
  const today = byDay.get(new Date().toISOString().slice(0, 10)) ?? {};
  const tokens = (today.tokens_in ?? 0) + (today.tokens_out ?? 0);
  const limit = quota.requests_per_minute;
  const shown = METRICS.filter(([metric]) => usage.some((one) => one.metric === metric));
  const columns = [["Day", "name"], ...shown.map(([, label]) => [label, "num"])];
  const rows = [...byDay].sort(([a], [b]) => b.localeCompare(a)).map(([date, of]) =>
    tableRow(columns, [h("time", { datetime: date, "data-day": true }, day(date)), ...shown.map(([metric, , text]) => text(of[metric] ?? 0))]),
  );
  return [
    h("section", { class: "card", "aria-label": "Against its limits" },
      h("h2", null, "Against its limits"),
      h("div", { class: "meters" },
        meter("Live pages", has.pages_live, quota.pages_max, count),
        meter("Sources", has.sources, quota.sources_max, count),
        meter("Tasks running", has.tasks_running, quota.tasks_running_max, count),
        (tokens > 0 || quota.tokens_per_day !== null) && meter("Tokens today", tokens, quota.tokens_per_day, count)),
      h("p", { class: "note" }, limit ? `Each key may ask ${count(limit)} times a minute.` : "Each key may ask as often as the server's configuration says.")),
    h("section", { "aria-label": "By day" },
      h("h2", null, "By day"),
      rows.length > 0
        ? h("div", { class: "card flush" }, table("Use by day", columns, rows).node)
        : h("p", { class: "muted" }, "Nothing was used in these days.")),
  ];
}
