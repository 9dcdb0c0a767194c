// The form of a source: to add one, or to change it.

import { h, newId, put } from "../lib/dom.js";
import { Wrong, area, input, select, whole } from "../lib/form.js";
import { parseSeconds, shortSeconds } from "../lib/format.js";
import { tell } from "../lib/ui.js";

const SCOPES = [
  ["", "As configured"],
  ["host", "The same host"],
  ["domain", "The whole domain"],
  ["subpath", "Below the start URL's folder"],
];
const SCHEDULES = [
  ["", "Only when asked"],
  ["every", "At an interval"],
  ["cron", "By cron expression"],
  ["adaptive", "As often as it changes"],
];

const SUMMARIES = [
  ["", "As configured"],
  ["true", "After each crawl"],
  ["false", "Only when asked"],
];

const RULES = `{"kind": "job", "path": "/jobs/*", "fields": {
  "company": "h2.company",
  "salary": {"select": ".pay"}
}}`;

/** `save(input)` gets what the API takes; rejects to keep the form open. */
export function sourceForm({ source, verb, save, cancel }) {
  const settings = source?.settings ?? {};
  const field = fields(source, settings);
  // Pages scraped one by one have a source that begins nowhere.
  const isWeb = !source || source.seeds.every((seed) => /^https?:/.test(seed));
  const alert = h("p", { class: "form-problem", role: "alert" });

  const when = h("div", { class: "when" });
  const drawWhen = () => {
    const kind = field.schedule.control.value;
    put(
      when,
      kind === "every" && field.every.node,
      kind === "cron" && field.cron.node,
      kind === "adaptive" && [field.least.node, field.most.node],
    );
  };
  field.schedule.control.addEventListener("change", drawWhen);
  drawWhen();

  const now = h("input", { type: "checkbox", id: newId(), checked: true });
  const submit = h("button", { type: "submit", class: "primary" }, verb);
  const form = h(
    "form",
    { class: "card form", novalidate: true },
    isWeb && field.urls.node,
    field.name.node,
    h("fieldset", null, h("legend", null, "When"), field.schedule.node, when),
    h("fieldset", null, h("legend", null, "How far"), field.pages_max.node, field.scope.node),
    h("fieldset", null, h("legend", null, "Then"), field.summarize.node),
    h(
      "details",
      { open: Boolean(source && Object.keys(settings).some((name) => !["pages_max", "scope", "summarize", "record"].includes(name))) },
      h("summary", null, "Pace and patterns"),
      h("div", { class: "more" }, field.delay_ms.node, field.concurrency.node, field.depth_max.node, field.include.node, field.exclude.node),
    ),
    h("details", { open: Boolean(settings.record) }, h("summary", null, "Record rules"), field.record.node),
    !source && h("p", { class: "check" }, now, h("label", { for: now.id }, "Crawl it now")),
    alert,
    h("p", { class: "actions" }, submit, cancel),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (submit.getAttribute("aria-busy") === "true") return;
    submit.setAttribute("aria-busy", "true");
    await run().catch(tell);
    submit.removeAttribute("aria-busy");
  });

  async function run() {
    put(alert);
    try {
      const input = read(field, settings);
      if (isWeb) {
        const urls = lines(field.urls.control.value);
        if (urls.length === 0) throw new Wrong("Give at least one URL to start at.", field.urls.control);
        if (urls.join() !== source?.seeds.join()) input.urls = urls;
      }
      if (!source) input.crawl_now = now.checked;
      await save(input);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof Wrong) && error.status === undefined) throw error;
      put(alert, h("span", { dir: "auto" }, error.message));
      (error.field ?? form.querySelector("textarea, input")).focus();
    }
  }
  return form;
}

function fields(source, settings) {
  const kind = source?.adaptive ? "adaptive" : source?.cron ? "cron" : source?.every_s ? "every" : "";
  const span = (s) => (s ? shortSeconds(s) : "");
  const text = (value) => (value ?? "").toString();
  const number = { type: "number", min: 0, inputmode: "numeric" };
  return {
    urls: area("Start URLs", { rows: 3, value: source?.seeds.join("\n") ?? "", placeholder: "One address a line, with http or https", dir: "ltr", required: true }, source && "What a source is known by: no two have the same. They cannot change while it is being crawled."),
    name: input("Name", { value: text(source?.name), dir: "auto", placeholder: "The first URL's host" }),
    schedule: select("Crawl it", SCHEDULES, kind),
    every: input("Every", { value: span(source?.every_s) || "1d", placeholder: "6h" }, "Such as 90m, 6h or 1d 12h; at least 1m."),
    cron: input("Cron expression", { value: text(source?.cron), placeholder: "0 4 * * 1", dir: "ltr" }, "Minute, hour, day, month, weekday, in UTC; or @daily and the like."),
    least: input("Shortest interval", { value: span(source?.adaptive?.min_s) || "1h" }, "It follows how much changes, between these two."),
    most: input("Longest interval", { value: span(source?.adaptive?.max_s) || "7d" }),
    pages_max: input("Pages at most", { ...number, value: text(settings.pages_max), placeholder: "As configured" }, "Stored in one crawl; 0 for no limit."),
    scope: select("Follow links within", SCOPES, settings.scope ?? ""),
    summarize: select("Summarise its pages", SUMMARIES, text(settings.summarize), "Only those that are new or have changed. Where a language model is configured, that asks it for each of them; else they are sentences of the page itself."),
    delay_ms: input("Delay, ms", { ...number, value: text(settings.delay_ms), placeholder: "As configured" }, "Least time between two requests to a host."),
    concurrency: input("Requests at once", { ...number, min: 1, value: text(settings.concurrency), placeholder: "As configured" }),
    depth_max: input("Links deep", { ...number, value: text(settings.depth_max), placeholder: "As configured" }, "Away from a start URL; 0 for no limit."),
    include: area("Only these paths", { rows: 2, value: text(settings.include?.join("\n")), placeholder: "/blog/**", dir: "ltr" }, "One pattern a line: a glob of the path, or regex:…"),
    exclude: area("Not these paths", { rows: 2, value: text(settings.exclude?.join("\n")), placeholder: "**/tag/**", dir: "ltr" }),
    record: area("Where facts stand on its pages", { rows: settings.record ? 12 : 4, value: settings.record ? JSON.stringify(settings.record, null, 2) : "", placeholder: RULES, dir: "ltr" }, "As JSON, for a site that does not mark what its pages are about. The rules hold for pages that are fetched from then on."),
  };
}

function lines(text) {
  return text.split(/[\s]+/).filter(Boolean);
}

/** What the fields say. Settings that have no field here stay as they are. */
function read(field, before) {
  const settings = { ...before };
  const set = (name, value) => {
    if (value === null || value === "" || value.length === 0) delete settings[name];
    else settings[name] = value;
  };
  for (const name of ["pages_max", "delay_ms", "concurrency", "depth_max"]) {
    set(name, whole(field[name]));
  }
  set("scope", field.scope.control.value);
  const summarize = field.summarize.control.value;
  if (summarize === "") delete settings.summarize;
  else settings.summarize = summarize === "true";
  set("include", patterns(field.include.control.value));
  set("exclude", patterns(field.exclude.control.value));
  const record = rules(field.record.control);
  if (record === undefined) delete settings.record;
  else settings.record = record;
  const name = field.name.control.value.trim();
  return { ...(name && { name }), settings, schedule: readSchedule(field) };
}

/** What is in them is for the server to judge. */
function rules(control) {
  const text = control.value.trim();
  if (!text) return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Wrong(`The record rules are no JSON: ${error.message}`, control);
  }
}

/** A pattern may hold spaces. */
function patterns(text) {
  return text.split("\n").map((line) => line.trim()).filter(Boolean);
}

function readSchedule(field) {
  const span = (one) => {
    const s = parseSeconds(one.control.value);
    if (s === null) throw new Wrong("Give a time such as 90m, 6h or 1d 12h.", one.control);
    return s;
  };
  switch (field.schedule.control.value) {
    case "every":
      return { every_s: span(field.every) };
    case "cron":
      if (!field.cron.control.value.trim()) throw new Wrong("Give a cron expression, such as 0 4 * * 1.", field.cron.control);
      return { cron: field.cron.control.value.trim() };
    case "adaptive":
      return { adaptive: { min_s: span(field.least), max_s: span(field.most) } };
    default:
      return {};
  }
}
