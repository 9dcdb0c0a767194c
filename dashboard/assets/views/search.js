// Search as one types.

import { query as read } from "../lib/api.js";
import { h, newId, put, say } from "../lib/dom.js";
import { chips, facetPanel } from "../lib/facets.js";
import { counted, day, host, language, milliseconds, path, percent } from "../lib/format.js";
import { allSources } from "../lib/live-list.js";
import { factName, factValue } from "../lib/record.js";
import { marked } from "../lib/text.js";
import { empty, facts, heading, loading, problem, tell } from "../lib/ui.js";

const WAIT_MS = 180;
const LIMIT = 20;
/** As far as the API pages. */
const OFFSET_MAX = 900;
const MODES = [["", "Hybrid"], ["keyword", "Words"], ["vector", "Meaning"]];

/** Typed or picked above, and counted and clicked beside what is found. */
const FIELDS = ["source", "host", "path", "lang", "from", "to"];
const FACETS = ["kind", "source", "host", "lang", "company", "location", "remote", "employment_type", "category", "brand", "availability", "author", "skill"];
const FILTERS = [...new Set([...FIELDS, ...FACETS])];

export async function show({ root, query, signal, setTitle, setQuery }) {
  setTitle("Search");
  const asked = Object.fromEntries(["q", "mode", ...FILTERS].map((name) => [name, query.get(name) ?? ""]));
  const status = h("p", { class: "note", role: "status" });
  const results = h("ol", { class: "results" });
  const end = h("div", { class: "results-end" });
  const input = h("input", { type: "search", class: "query", "data-focus": "yes", dir: "auto", "aria-label": "Search", placeholder: "Words, \"exact phrases\", prefix*, -without", autocomplete: "off", maxlength: 1000, value: asked.q });
  const filters = h("details", { class: "search-filters" });
  put(
    root,
    h("div", { class: "hidden-text" }, heading("Search").node),
    h("form", { role: "search", class: "search-form", on: { submit: (event) => { event.preventDefault(); run(0); } } }, input, h("div", { class: "search-tools" }, modeSwitch(), filters)),
    status,
  );
  input.focus();
  let running = null;
  let timer;
  signal.addEventListener("abort", () => { clearTimeout(timer); running?.abort(); }, { once: true });
  input.addEventListener("input", () => {
    asked.q = input.value;
    run(WAIT_MS);
  });

  const sources = await allSources(signal);
  const choose = (name, value) => {
    asked[name] = value;
    if (FIELDS.includes(name)) put(filters, filterFields());
    run(0);
  };
  const panel = facetPanel({ chosen: (name) => asked[name], choose, sources });
  const narrowed = chips({
    remove: (name) => choose(name, ""),
    clear: () => {
      for (const name of FACETS) asked[name] = "";
      choose("source", "");
    },
  });
  root.append(narrowed.node, h("div", { class: "with-facets" }, panel.node, h("div", { class: "found" }, results, end)));
  put(filters, filterFields());
  filters.open = FIELDS.some((name) => asked[name]) && !FACETS.some((name) => asked[name]);
  run(0);

  function modeSwitch() {
    const group = `mode-${newId()}`;
    return h(
      "fieldset",
      { class: "switch" },
      h("legend", { class: "hidden-text" }, "Search by"),
      MODES.map(([value, label]) => {
        const radio = h("input", { type: "radio", name: group, value, id: newId(), checked: asked.mode === value, on: { change: () => { asked.mode = value; run(0); } } });
        return [radio, h("label", { for: radio.id }, label)];
      }),
    );
  }

  function filterFields() {
    const field = (label, name, node) => {
      node.id = newId();
      node.value = asked[name];
      node.addEventListener(node.tagName === "SELECT" ? "change" : "input", () => { asked[name] = node.value.trim(); run(WAIT_MS); });
      return h("div", { class: "field" }, h("label", { for: node.id }, label), node);
    };
    const text = (placeholder) => h("input", { type: "text", spellcheck: "false", autocapitalize: "none", placeholder });
    const choices = [h("option", { value: "" }, "Any"), sources.map((source) => h("option", { value: source.id }, source.name))];
    return [
      h("summary", null, "Filters"),
      h("div", { class: "filters" },
        field("Source", "source", h("select", null, choices)),
        field("Host", "host", text("example.org")),
        field("Path begins with", "path", text("/docs/")),
        field("Language", "lang", text("en, fa, …")),
        field("From", "from", h("input", { type: "date" })),
        field("To", "to", h("input", { type: "date" })),
      ),
    ];
  }

  function body(offset) {
    const given = FILTERS.filter((name) => asked[name]).map((name) => `${name}=${asked[name]}`);
    return { query: asked.q, ...(asked.mode && { mode: asked.mode }), limit: LIMIT, offset, filters: given, ...(offset === 0 && { facets: FACETS }) };
  }

  function run(wait) {
    clearTimeout(timer);
    running?.abort();
    timer = setTimeout(() => search().catch(tell), wait);
  }

  async function search() {
    setQuery(asked);
    running = new AbortController();
    const mine = running.signal;
    put(end);
    narrowed.draw(FACETS.filter((name) => asked[name]).map((name) => [name, factName(name), factValue(name, asked[name], sources)]));
    if (!asked.q.trim()) {
      setTitle("Search");
      put(results);
      panel.draw([], 0);
      narrowed.draw([]);
      say(status, "");
      put(end, welcome(sources));
      return;
    }
    root.setAttribute("aria-busy", "true");
    if (!results.firstChild) put(end, loading("Searching…"));
    try {
      const answer = await ask(0, mine);
      setTitle(asked.q);
      put(results, answer.hits.map(hit));
      panel.draw(answer.facets ?? [], answer.total);
      const known = answer.mode !== "keyword" && answer.vector_coverage < 1 ? `; ${percent(answer.vector_coverage)} of the passages have vectors` : "";
      say(status, answer.total === 0 ? "" : `${counted(answer.total, "page")} in ${milliseconds(answer.took_ms)}${known}`);
      put(end, answer.total === 0 ? nothing() : more(answer, mine));
    } catch (error) {
      if (error.name === "AbortError") return;
      put(results);
      panel.draw([], 0);
      say(status, "");
      put(end, problem(error, () => run(0)));
    } finally {
      if (!mine.aborted) root.removeAttribute("aria-busy");
    }
  }

  function ask(offset, mine) {
    return read("/api/v2/search", { body: body(offset), signal: mine });
  }

  function more(answer, mine) {
    const shown = results.children.length;
    if (shown >= answer.total || shown > OFFSET_MAX || answer.hits.length === 0) return null;
    const button = h("button", { type: "button" }, "Show more");
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        const next = await ask(shown, mine);
        const nodes = next.hits.map(hit);
        results.append(...nodes);
        put(end, more(next, mine));
        nodes[0]?.querySelector("a").focus();
      } catch (error) {
        button.disabled = false;
        tell(error);
      }
    });
    return button;
  }

  function nothing() {
    const hint = asked.mode === "keyword" ? "Try other words, or search by meaning." : "Try other words or fewer filters.";
    return empty("Nothing found", hint);
  }
}

function welcome(sources) {
  if (sources.length === 0) {
    return empty("Nothing to search yet", "Pages come from sources. Add one, and its pages can be found while it is being crawled.", h("a", { class: "button primary", href: "#/sources/new" }, "Add a source"));
  }
  return h("p", { class: "muted hint-line" }, "Type to search, in any language. Press ", h("kbd", null, "/"), " to come here from anywhere.");
}

function hit(found) {
  const time = found.published_at && h("time", { datetime: found.published_at, "data-day": "yes" }, day(found.published_at));
  return h(
    "li",
    { class: "hit" },
    h("h2", { dir: "auto", lang: found.language }, h("a", { href: `#/pages/${found.page_id}` }, found.title || found.url)),
    h("p", { class: "hit-where" }, h("bdi", { dir: "ltr", class: "clip" }, host(found.url), h("span", { class: "muted" }, path(found.url))), time && [" · ", time], found.language && h("span", { title: language(found.language) }, ` · ${found.language}`)),
    found.heading && h("p", { class: "hit-heading", dir: "auto", lang: found.language }, found.heading),
    h("p", { class: "snippet", dir: "auto", lang: found.language }, marked(found.snippet, found.highlights)),
    h(
      "details",
      { class: "why" },
      h("summary", null, "Why this?"),
      facts([
        ["Score", found.score.toFixed(3)],
        ["By words", found.scores.keyword?.toFixed(3)],
        ["By meaning", found.scores.vector?.toFixed(3)],
        ["How", h("span", { dir: "auto" }, found.explain)],
      ]),
    ),
  );
}
