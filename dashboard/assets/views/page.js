// One page: what was kept of it, and what it was before.

import { get, save } from "../lib/api.js";
import { foreign, h, outside, put } from "../lib/dom.js";
import { count, counted, direction, exactly, language, when } from "../lib/format.js";
import { blocks } from "../lib/markdown.js";
import { badge, facts, heading, loading, problem, tell } from "../lib/ui.js";
import { allFacts, skills } from "../lib/record.js";
import { notesCard } from "./page-notes.js";
import { similar } from "./page-similar.js";
import { summaryCard } from "./page-summary.js";
import { versions } from "./versions.js";

/** Blocks and rows put into the document at once. */
const PART = 300;

export async function show({ root, id, query, signal, setTitle, setQuery }) {
  put(root, loading());
  const full = await get(`/api/v2/pages/${id}`, { signal });
  const { page } = full;
  const title = page.title || page.url;
  setTitle(title);
  const tabs = [
    ["content", "Content", () => content(full)],
    ["chunks", `Chunks (${count(full.chunk_list.length)})`, () => chunks(full)],
    ["links", `Links (${count(full.links.length)})`, () => links(full)],
    ["versions", `Versions (${count(page.version)})`, () => versions(page, signal)],
    ["similar", "Similar", () => similar(id, signal)],
  ];
  put(
    root,
    h("div", { lang: page.language, class: "page-title" }, heading(title).node),
    h("p", { class: "page-url", dir: "ltr" }, outside(page.url)),
    h("section", { class: "card", "aria-label": "About this page" }, about(full)),
    full.record && h("section", { class: "card", "aria-label": "Record" }, h("h2", null, "What it is about"), facts(allFacts(full.record)), skills(full.record.skills ?? [])),
    summaryCard(id, full.summary, signal),
    notesCard(id, title, full.notes, signal),
    tabList(tabs, query.get("show"), (name) => setQuery({ show: name === "content" ? "" : name })),
  );
}

function about({ page, open_graph: graph, structured, raw }) {
  return [
    facts([
      ["Status", badge(page.status)],
      ["Language", language(page.language)],
      ["Author", page.author && foreign(page.author)],
      ["Published", page.published_at && when(page.published_at)],
      ["Modified", page.modified_at && when(page.modified_at)],
      ["Fetched", when(page.fetched_at)],
      ["Changed", when(page.changed_at)],
      ["Version", count(page.version)],
      ["Raw copy", raw && rawCopy(page)],
      ["Source", h("a", { href: `#/sources/${page.source}` }, `Source ${page.source}`)],
      ["Same as", page.duplicate_of && pageLink(page.duplicate_of)],
      ["Much like", page.near_duplicate_of && pageLink(page.near_duplicate_of)],
    ]),
    page.description && h("p", { dir: "auto", class: "description" }, page.description),
    (graph.length > 0 || structured) &&
      h(
        "details",
        null,
        h("summary", null, "All metadata"),
        facts([...graph.map(([name, value]) => [name, foreign(value)]), ["Content hash", h("code", { class: "break" }, page.content_hash)], ["Fetched at", exactly(page.fetched_at)]]),
        structured && h("pre", { dir: "ltr", tabindex: "0", role: "group", "aria-label": "Structured data" }, h("code", null, JSON.stringify(structured, null, 2))),
      ),
  ];
}

/** What the server answered, as a file; the key, if any, goes along. */
function rawCopy(page) {
  const load = () => save(`/api/v2/pages/${page.page_id}/raw`, { version: page.version }).catch(tell);
  return h("button", { type: "button", class: "small", on: { click: load } }, "Download");
}

function pageLink(id) {
  return h("a", { href: `#/pages/${id}` }, `Page ${id}`);
}

/** Tabs as the ARIA authoring practices have them: one stop, arrows move. */
function tabList(tabs, wanted, chosen) {
  const panel = h("div", { role: "tabpanel", id: "panel", tabindex: "-1" });
  const buttons = tabs.map(([name, label]) => h("button", { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": "panel" }, label));
  const list = h("div", { role: "tablist", class: "tabs", "aria-label": "Parts of this page" }, buttons);
  async function choose(n, focus) {
    buttons.forEach((button, m) => {
      button.setAttribute("aria-selected", String(m === n));
      button.tabIndex = m === n ? 0 : -1;
    });
    if (focus) buttons[n].focus();
    // Narrow screens do not show all tabs at once.
    requestAnimationFrame(() => {
      list.scrollLeft += buttons[n].getBoundingClientRect().left - list.getBoundingClientRect().left - 24;
    });
    panel.setAttribute("aria-labelledby", buttons[n].id);
    chosen(tabs[n][0]);
    put(panel, loading());
    try {
      put(panel, await tabs[n][2]());
    } catch (error) {
      if (error.name !== "AbortError") put(panel, problem(error, () => choose(n).catch(tell)));
    }
  }
  buttons.forEach((button, n) => {
    button.addEventListener("click", () => choose(n));
    button.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      const to = event.key === "Home" ? 0 : event.key === "End" ? tabs.length - 1 : step && (n + step + tabs.length) % tabs.length;
      if (to === undefined) return;
      event.preventDefault();
      choose(to, true);
    });
  });
  choose(Math.max(0, tabs.findIndex(([name]) => name === wanted)));
  return [list, panel];
}

function content({ markdown, page }) {
  if (!markdown.trim()) {
    return h("p", { class: "muted" }, page.duplicate_of ? ["The same as ", pageLink(page.duplicate_of), "; kept once, there."] : "This page has no text.");
  }
  const rendered = h("article", { class: "card prose", dir: direction(page.language), lang: page.language });
  const source = h("pre", { class: "card source", dir: "auto", tabindex: "0", role: "group", "aria-label": "Markdown", hidden: true });
  const kind = h("button", { type: "button", class: "small ghost", "aria-pressed": "false" }, "Show Markdown");
  kind.addEventListener("click", () => {
    const plain = source.hidden;
    // Made when asked for: it may be megabytes.
    if (plain && !source.firstChild) put(source, markdown);
    source.hidden = !plain;
    rendered.hidden = plain;
    kind.setAttribute("aria-pressed", String(plain));
  });
  inParts(rendered, blocks(markdown), "Show more of the page");
  return [h("p", { class: "panel-tools" }, kind), rendered, source];
}

/** Puts nodes in, PART at a time. */
function inParts(node, nodes, label) {
  const more = h("button", { type: "button" }, label);
  const next = () => {
    more.remove();
    for (let n = 0; n < PART; n += 1) {
      const { done, value } = nodes.next();
      if (done) return;
      node.append(value);
    }
    node.append(more);
  };
  more.addEventListener("click", next);
  next();
}

function chunks({ chunk_list: list, page }) {
  if (list.length === 0) {
    return h("p", { class: "muted" }, page.duplicate_of ? ["Its chunks are those of ", pageLink(page.duplicate_of), "."] : "This page has no chunks.");
  }
  const node = h("ol", { class: "chunks" });
  function* items() {
    for (const chunk of list) {
      yield h(
        "li",
        { class: "card chunk" },
        h("p", { class: "note" }, `#${chunk.position + 1}, ${counted(chunk.tokens, "token")}, bytes ${count(chunk.start)} to ${count(chunk.end)}${chunk.language ? `, ${chunk.language}` : ""}`),
        chunk.heading_path.length > 0 && h("h3", { dir: "auto" }, chunk.heading_path.join(" › ")),
        h("p", { class: "chunk-text", dir: "auto", lang: chunk.language }, chunk.text ?? ""),
        chunk.tldr && h("details", null, h("summary", null, "In short"), h("p", { dir: "auto" }, chunk.tldr)),
        chunk.keywords.length > 0 && h("ul", { class: "keywords", "aria-label": "Keywords" }, chunk.keywords.map((word) => h("li", { dir: "auto" }, word))),
      );
    }
  }
  inParts(node, items(), "Show more chunks");
  return node;
}

function links({ links: list }) {
  if (list.length === 0) return h("p", { class: "muted" }, "This page links nowhere.");
  const node = h("ul", { class: "card link-list" });
  function* items() {
    for (const link of list) {
      yield h("li", null, h("div", { dir: "auto", class: "clip" }, link.text || h("span", { class: "muted" }, "no text"), link.nofollow && badge("skipped", "nofollow")), h("div", { class: "note clip", dir: "ltr" }, outside(link.url)));
    }
  }
  inParts(node, items(), "Show more links");
  return node;
}
