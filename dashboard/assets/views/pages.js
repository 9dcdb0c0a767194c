// All pages, however many: a list of which only what is in sight exists.

import { get } from "../lib/api.js";
import { h, newId, put } from "../lib/dom.js";
import { count, counted, host, language, path, when } from "../lib/format.js";
import { allSources } from "../lib/live-list.js";
import { NO_NOTES, noteMarks, remember, star, suggest } from "../lib/notes.js";
import { badge, empty, heading, loading, tell } from "../lib/ui.js";
import { tally, virtualList } from "../lib/virtual.js";
import { notesDialog } from "./page-notes.js";

const BATCH = 500;
const WAIT_MS = 300;
const NAMES = ["source", "host", "language", "status", "favorite", "applied", "note_status", "tag"];
const NARROW = window.matchMedia("(max-width: 720px)");

/** The list as it was left, for the way back from a page. */
let kept = null;

export async function show({ root, query, signal, setTitle, setQuery }) {
  setTitle("Pages");
  const filters = Object.fromEntries(NAMES.map((name) => [name, query.get(name) ?? ""]));
  filters.status ||= "live";
  const total = h("span", { role: "status" });
  const place = h("div", null, loading());
  const sources = await allSources(signal);
  const head = heading("Pages", { lead: total });
  put(root, head.node, filterBar(filters, sources, change), place);
  let inner = null;
  let timer;
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  await draw(kept && kept.filters === JSON.stringify(filters) ? kept : null);

  function change(wait) {
    clearTimeout(timer);
    timer = setTimeout(() => {
      setQuery({ ...filters, status: filters.status === "live" ? "" : filters.status || "all" });
      draw(null).catch(tell);
    }, wait ? WAIT_MS : 0);
  }

  async function draw(before) {
    inner?.abort();
    inner = new AbortController();
    const mine = inner.signal;
    signal.addEventListener("abort", () => inner.abort(), { once: true });
    const items = before?.items ?? [];
    let cursor = before ? before.cursor : undefined;
    const status = filters.status === "all" ? "" : filters.status;
    const list = virtualList({
      label: "Pages, in the order they were found",
      rowHeight: () => (NARROW.matches ? 76 : 52),
      build: pageRow,
      signal: mine,
      more: async () => {
        if (cursor === null) return false;
        const wanted = { ...filters, status, cursor, limit: BATCH };
        const { pages, next } = await get("/api/v2/pages", { query: wanted, signal: mine });
        cursor = next;
        const found = pages.map(slim);
        for (const page of found) remember(page.notes);
        items.push(...found);
        list.add(found);
        kept = { filters: JSON.stringify(filters), items, cursor, top: list.scrolled() };
        setTimeout(() => tally(total, list, "page", "pages"));
        return next !== null;
      },
    });
    list.node.addEventListener("scroll", () => kept && (kept.top = list.scrolled()), { passive: true });
    put(place, list.node);
    if (before) {
      list.add(items);
      list.scrollTo(before.top);
      tally(total, list, "page", "pages");
    }
    await list.load();
    tally(total, list, "page", "pages");
    if (list.count() === 0 && !mine.aborted) put(place, nothing(sources));
  }
}

function nothing(sources) {
  if (sources.length === 0) {
    return empty("No pages yet", "Pages come from sources. Add one to begin.", h("a", { class: "button primary", href: "#/sources/new" }, "Add a source"));
  }
  return empty("No page matches", "Take a filter away, or crawl a source.", h("a", { class: "button", href: "#/pages?status=all" }, "Show all pages"));
}

function filterBar(filters, sources, change) {
  const control = (label, node) => {
    node.id = newId();
    return h("div", { class: "field" }, h("label", { for: node.id }, label), node);
  };
  const set = (name, wait) => (event) => {
    filters[name] = event.target.value.trim();
    change(wait);
  };
  const choice = (name, options) => {
    const node = h("select", { on: { change: set(name) } }, options.map(([value, text]) => h("option", { value }, text)));
    node.value = filters[name];
    return node;
  };
  const text = (name, placeholder) => h("input", { type: "text", spellcheck: "false", autocapitalize: "none", placeholder, value: filters[name], on: { input: set(name, true) } });
  const named = sources.map((source) => [String(source.id), `${source.name} (${count(source.pages)})`]);
  return h(
    "form",
    { class: "filters", role: "search", "aria-label": "Filter pages", on: { submit: (event) => event.preventDefault() } },
    control("Source", choice("source", [["", "Any"], ...named])),
    control("Host", text("host", "Any, or its exact name")),
    control("Language", text("language", "Any, or en, fa, …")),
    control("Status", choice("status", [["live", "Live"], ["gone", "Gone"], ["all", "Any"]])),
    // Room for facets: fields that the list can be narrowed by.
    h("details", { class: "more-filters", open: ["favorite", "applied", "note_status", "tag"].some((name) => filters[name]) },
      h("summary", null, "By notes"),
      h("div", { class: "filters" },
        control("Favorite", choice("favorite", [["", "Any"], ["true", "Favorites"], ["false", "Others"]])),
        control("Applied", choice("applied", [["", "Any"], ["true", "Applied"], ["false", "Not applied"]])),
        noted("Noted status", "note_status", "status"),
        noted("Tag", "tag", "tag"))),
  );

  function noted(label, name, kind) {
    const node = text(name, "Any");
    const field = control(label, node);
    field.append(suggest(node, kind));
    return field;
  }
}

/** What a row shows: a hundred thousand whole answers would not be small. */
function slim(page) {
  return { id: page.page_id, url: page.url, title: page.title, status: page.status, language: page.language, changed_at: page.changed_at, version: page.version, duplicate: page.duplicate_of !== null, notes: page.notes ?? NO_NOTES };
}

function pageRow(page) {
  const title = page.title || path(page.url);
  const marks = h("span", { class: "marks" });
  const draw = () => put(marks, noteMarks(page.notes));
  const changed = (notes) => {
    page.notes = notes;
    draw();
  };
  const mark = star(page.id, title, page.notes, changed);
  const edit = h("button", { type: "button", class: "ghost small edit-notes", "aria-label": `Notes: ${title}`, title: "Notes" }, "✎");
  edit.addEventListener("click", () => notesDialog(page.id, title, page.notes, (notes) => {
    changed(notes);
    mark.set(notes);
  }).catch(tell));
  draw();
  return h(
    "div",
    { class: "page-row" },
    mark.node,
    h(
      "div",
      { class: "page-name" },
      h("a", { href: `#/pages/${page.id}`, class: "strong clip", dir: "auto", lang: page.language }, title),
      h("span", { class: "note clip", dir: "ltr", title: page.url }, host(page.url) + path(page.url)),
    ),
    h(
      "div",
      { class: "page-meta" },
      marks,
      page.status === "gone" && badge("gone"),
      page.duplicate && badge("skipped", "duplicate"),
      page.version > 1 && badge("updated", counted(page.version, "version")),
      h("span", { class: "lang", title: language(page.language) }, page.language ?? ""),
      when(page.changed_at),
    ),
    edit,
  );
}
