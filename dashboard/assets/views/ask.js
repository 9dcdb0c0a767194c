// A question, its answer while it is written, and the sources it cites.

import { ask as askFor } from "../lib/ask.js";
import { h, newId, outside, put, say } from "../lib/dom.js";
import { count, counted, day, directionOf, host, milliseconds, path } from "../lib/format.js";
import { allSources } from "../lib/live-list.js";
import { blocks } from "../lib/markdown.js";
import { empty, heading, problem, tell } from "../lib/ui.js";

const MARK = /\[(\d{1,3})\]/g;

export async function show({ root, query, signal, setTitle, setQuery }) {
  setTitle("Ask");
  const input = h("textarea", { class: "query", rows: 2, "data-focus": "yes", dir: "auto", "aria-label": "Question", placeholder: "How …? Where …? What does … cost?", autocomplete: "off", maxlength: 1000, value: query.get("q") ?? "" });
  const from = h("select", { id: newId() }, h("option", { value: "" }, "All sources"));
  const quote = h("input", { type: "checkbox", id: newId(), checked: query.get("quote") === "yes" });
  const go = h("button", { class: "primary" }, "Ask");
  const stop = h("button", { type: "button", hidden: true, on: { click: () => running?.abort() } }, "Stop");
  const status = h("p", { class: "note", role: "status" });
  const answer = h("section", { class: "answer", "aria-label": "Answer" });
  const sources = h("section", { class: "answer-sources", "aria-label": "Sources" });
  let running = null;
  put(
    root,
    heading("Ask", { lead: "Answered from your own pages, with the passages it rests on." }).node,
    h(
      "form",
      { class: "ask-form", on: { submit: (event) => { event.preventDefault(); run().catch(tell); } } },
      input,
      h(
        "div",
        { class: "ask-tools" },
        h("label", { class: "hidden-text", for: from.id }, "Ask only"),
        from,
        h("div", { class: "check" }, quote, h("label", { for: quote.id }, "Only quote, without a language model")),
        stop,
        go,
      ),
    ),
    status,
    answer,
    sources,
  );
  // Return asks, as in every chat; with shift it begins a line.
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    go.form.requestSubmit();
  });
  signal.addEventListener("abort", () => running?.abort(), { once: true });
  input.focus();
  const known = await allSources(signal);
  from.append(...known.map((source) => h("option", { value: source.id }, source.name)));
  from.value = query.get("source") ?? "";

  async function run() {
    const question = input.value.trim();
    if (!question) return input.focus();
    running?.abort();
    const mine = new AbortController();
    running = mine;
    setQuery({ q: question, source: from.value, quote: quote.checked ? "yes" : "" });
    setTitle(question);
    busy(true);
    put(answer);
    put(sources);
    say(status, "Looking for passages…");
    let text = "";
    let passages = [];
    try {
      const body = { question, model: !quote.checked, ...(from.value && { filters: [`source=${from.value}`] }) };
      const done = await askFor(body, {
        signal: mine.signal,
        onSources: (found) => {
          passages = found;
          say(status, `Reading ${counted(found.length, "passage")}…`);
        },
        onText: (piece) => {
          if (text === "") say(status, "Writing…");
          text += piece;
          put(answer, written(text, passages, true));
        },
      });
      finished(done);
    } catch (error) {
      if (error.name === "AbortError") {
        if (running === mine) say(status, text ? "Stopped. This is as far as it came, unchecked to its end." : "Stopped.");
        return;
      }
      say(status, "");
      put(answer, problem(error, () => run().catch(tell)));
    } finally {
      if (running === mine) busy(false);
    }
  }

  function busy(is) {
    if (is) root.setAttribute("aria-busy", "true");
    else root.removeAttribute("aria-busy");
    stop.hidden = !is;
    go.disabled = is;
  }

  function finished(done) {
    if (!done.found) {
      say(status, how(done));
      put(answer, notFound(done, known));
      put(sources, folded("What was looked at", done.sources));
      return;
    }
    put(answer, written(done.answer, done.sources, done.mode === "model"), caution(done));
    const cited = done.sources.filter((source) => done.citations.includes(source.number));
    const rest = done.sources.filter((source) => !done.citations.includes(source.number));
    put(sources, listed("Sources", cited), folded("Also looked at", rest));
    say(status, how(done));
  }
}

/** The answer with its citations as buttons. A model may write lists and the like; quotes are shown as they are. */
function written(text, sources, isMarkdown) {
  const nodes = isMarkdown ? [...blocks(text)] : text.split("\n").filter((line) => line.trim()).map((line) => h("p", { dir: "auto" }, line));
  const body = h("div", { class: "prose" }, nodes);
  link(body, sources);
  return body;
}

function link(node, sources) {
  for (const child of [...node.childNodes]) {
    if (child.nodeType === Node.TEXT_NODE) child.replaceWith(...parts(child.data, sources));
    else if (!["CODE", "PRE", "A"].includes(child.tagName)) link(child, sources);
  }
}

function parts(text, sources) {
  const nodes = [];
  let at = 0;
  for (const match of text.matchAll(MARK)) {
    const source = sources.find(({ number }) => number === Number(match[1]));
    if (!source) continue;
    nodes.push(text.slice(at, match.index), citation(source));
    at = match.index + match[0].length;
  }
  nodes.push(text.slice(at));
  return nodes;
}

function citation(source) {
  const jump = () => {
    const target = document.getElementById(`source-${source.number}`);
    if (!target) return;
    const folded = target.closest("details");
    if (folded) folded.open = true;
    target.scrollIntoView({ block: "center" });
    target.focus({ preventScroll: true });
  };
  const name = `Source ${source.number}: ${source.title || source.url}`;
  return h("button", { type: "button", class: "cite", "aria-label": name, title: source.title || source.url, on: { click: jump } }, String(source.number));
}

function listed(title, sources) {
  return [h("h2", null, title), h("ol", { class: "source-list" }, sources.map(entry))];
}

function folded(title, sources) {
  if (sources.length === 0) return null;
  return h("details", null, h("summary", null, `${title} (${count(sources.length)})`), h("ol", { class: "source-list" }, sources.map(entry)));
}

function entry(source) {
  const where = [
    outside(source.url, h("bdi", { dir: "ltr" }, host(source.url), h("span", { class: "muted" }, path(source.url))), { class: "clip" }),
    source.published_at && [" · ", h("time", { datetime: source.published_at, "data-day": "yes" }, day(source.published_at))],
  ];
  return h(
    "li",
    { id: `source-${source.number}`, tabindex: "-1", dir: directionOf(source.title || source.text) },
    h("span", { class: "cite", "aria-hidden": "true" }, String(source.number)),
    h(
      "div",
      null,
      h("h3", { dir: "auto", lang: source.language }, h("a", { href: `#/pages/${source.page_id}` }, source.title || source.url)),
      h("p", { class: "hit-where" }, where),
      source.heading && source.heading !== source.title && h("p", { class: "hit-heading", dir: "auto", lang: source.language }, source.heading),
      h("details", null, h("summary", null, "Show the passage"), h("p", { class: "passage", dir: "auto", lang: source.language }, source.text)),
    ),
  );
}

function notFound(done, known) {
  if (known.length === 0 && done.sources.length === 0) {
    return empty("Nothing to ask yet", "Answers come from pages, and pages from sources. Add one, and ask what is on it.", h("a", { class: "button primary", href: "#/sources/new" }, "Add a source"));
  }
  const search = new URLSearchParams({ q: done.question });
  return [
    h("div", { class: "empty" }, h("h2", null, "Not found in your sources"), h("p", null, "Nothing that was found answers this. Other words may help, or a source that knows."), h("p", { class: "actions" }, h("a", { class: "button", href: `#/search?${search}` }, "Search instead"))),
    caution(done),
  ];
}

/** What a reader should know before trusting it. */
function caution(done) {
  const told = [];
  if (done.mode === "fallback") told.push(`These are sentences of the sources: ${done.fallback_reason}.`);
  if (done.cut_off) told.push("The model was cut off: the answer is longer than it may be.");
  if (done.dropped_citations.length > 0) told.push(`The model cited ${counted(done.dropped_citations.length, "source")} that it was not given; that was taken out.`);
  if (done.links_removed > 0) told.push(`${counted(done.links_removed, "link")} to other places than the sources ${done.links_removed === 1 ? "was" : "were"} taken out.`);
  return told.length > 0 && h("p", { class: "hint" }, told.join(" "));
}

function how(done) {
  const who = done.mode === "model" ? `${done.found ? "Written by" : "Asked:"} ${done.model}` : "";
  const by = who || (done.found ? "Quoted from the sources" : "");
  const took = milliseconds(done.retrieval_ms + (done.model_ms ?? 0));
  const tokens = done.model ? ` · ${count(done.tokens_in)} tokens read, ${count(done.tokens_out)} written` : "";
  return `${by}${by ? " · " : ""}${counted(done.sources.length, "passage")} looked at in ${took}${tokens}`;
}
