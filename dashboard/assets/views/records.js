// Records: what pages are about, narrowed down by their facts.

import { address, get } from "../lib/api.js";
import { h, newId, outside, put, say } from "../lib/dom.js";
import { chips, facetPanel } from "../lib/facets.js";
import { input, labelled, select } from "../lib/form.js";
import { counted, directionOf, host, when } from "../lib/format.js";
import { allSources } from "../lib/live-list.js";
import { NO_NOTES, noteMarks, remember, star, suggest } from "../lib/notes.js";
import { KINDS, factName, factValue, figure, line, skills } from "../lib/record.js";
import { empty, heading, loading, problem, tell } from "../lib/ui.js";
import { notesDialog } from "./page-notes.js";

const LIMIT = 50;
const WAIT_MS = 300;
const SKILLS = 6;
const SORTS = [["", "Newest first"], ["best_paid", "Best paid first"], ["cheapest", "Cheapest first"], ["dearest", "Dearest first"]];
/** Counted and chosen from, in this order. */
const FACETS = ["company", "location", "remote", "employment_type", "category", "brand", "availability", "author", "skill", "currency", "source"];
/** What only records of some kinds have. */
const KINDS_OF = {
  company: ["job"],
  location: ["job"],
  remote: ["job"],
  employment_type: ["job"],
  skill: ["job"],
  salary_min: ["job"],
  salary_max: ["job"],
  applied: ["job"],
  brand: ["product"],
  availability: ["product"],
  price_min: ["product"],
  price_max: ["product"],
  currency: ["job", "product"],
  published_from: ["job", "news"],
  published_to: ["job", "news"],
};
/** Typed or picked, with what they are called. */
const FIELDS = {
  price_min: "Price from",
  price_max: "Price to",
  salary_min: "A year's pay from",
  salary_max: "A year's pay to",
  published_from: "Published from",
  published_to: "Published before",
  open: "Closing date",
  favorite: "Favorite",
  applied: "Applied",
  note_status: "Noted status",
  tag: "Tag",
};
const CHOICES = {
  open: [["", "Any"], ["true", "Still open"], ["false", "Closed"]],
  favorite: [["", "Any"], ["true", "Favorites"], ["false", "Others"]],
  applied: [["", "Any"], ["true", "Applied"], ["false", "Not applied"]],
};
const NAMES = ["kind", "sort", ...FACETS, ...Object.keys(FIELDS)];
const NARROWING = NAMES.filter((name) => name !== "kind" && name !== "sort");

export async function show({ root, query, signal, setTitle, setQuery }) {
  setTitle("Records");
  const asked = Object.fromEntries(NAMES.map((name) => [name, query.get(name) ?? ""]));
  const total = h("span", { role: "status" });
  const list = h("ul", { class: "records", "aria-label": "Records" });
  const end = h("div", { class: "results-end" }, loading());
  const head = heading("Records", { lead: total });
  const bar = h("div", { class: "record-tools" });
  const fields = h("details", { class: "more-filters" });
  put(root, head.node, bar);
  const sources = await allSources(signal);
  const panel = facetPanel({ chosen: (name) => asked[name], choose: (name, value) => change({ [name]: value }), sources });
  const narrowed = chips({
    remove: (name) => change({ [name]: "" }),
    clear: () => change(Object.fromEntries(NARROWING.map((name) => [name, ""]))),
  });
  root.append(fields, narrowed.node, h("div", { class: "with-facets" }, panel.node, h("div", { class: "found" }, list, end)));
  let running = null;
  let timer;
  signal.addEventListener("abort", () => { clearTimeout(timer); running?.abort(); }, { once: true });
  drawControls();
  fields.open = Object.keys(FIELDS).some((name) => asked[name]);
  await look();

  function change(patch, wait = 0) {
    Object.assign(asked, patch);
    clearTimeout(timer);
    timer = setTimeout(() => {
      setQuery(asked);
      // Fields that are being typed in stay as they are.
      if (wait === 0) drawControls();
      look().catch(tell);
    }, wait);
  }

  function drawControls() {
    const held = [...root.querySelectorAll("input, select")].indexOf(document.activeElement);
    const sort = select("Order", SORTS, asked.sort);
    sort.control.addEventListener("change", () => change({ sort: sort.control.value }));
    put(bar, kindSwitch(), sort.node);
    put(fields, h("summary", null, "More filters"), h("div", { class: "filters" }, Object.entries(FIELDS).filter(([name]) => fits(name)).map(([name, label]) => field(name, label))));
    narrowed.draw(NARROWING.filter((name) => asked[name]).map((name) => [name, FIELDS[name] ?? factName(name), told(name)]));
    if (held >= 0) root.querySelectorAll("input, select")[held]?.focus({ preventScroll: true });
  }

  /** Pay is of no use among products. */
  function fits(name) {
    return !asked.kind || (KINDS_OF[name] ?? [asked.kind]).includes(asked.kind);
  }

  function changeKind(kind) {
    asked.kind = kind;
    change(Object.fromEntries(NARROWING.filter((name) => !fits(name)).map((name) => [name, ""])));
  }

  function told(name) {
    const choice = CHOICES[name]?.find(([value]) => value === asked[name]);
    return choice?.[1] ?? factValue(name, asked[name], sources);
  }

  function kindSwitch() {
    const group = newId();
    return h("fieldset", { class: "switch" }, h("legend", { class: "hidden-text" }, "Kind"), [["", "All"], ...KINDS].map(([value, label]) => {
      const radio = h("input", { type: "radio", name: group, value, id: newId(), checked: asked.kind === value, on: { change: () => changeKind(value) } });
      return [radio, h("label", { for: radio.id }, label)];
    }));
  }

  function field(name, label) {
    if (CHOICES[name]) {
      const one = select(label, CHOICES[name], asked[name]);
      one.control.addEventListener("change", () => change({ [name]: one.control.value }));
      return one.node;
    }
    if (name.startsWith("published")) {
      const date = labelled(label, h("input", { type: "date", value: asked[name] }));
      date.control.addEventListener("change", () => change({ [name]: date.control.value }));
      return date.node;
    }
    const isAmount = name.endsWith("_min") || name.endsWith("_max");
    const one = input(label, { value: asked[name], ...(isAmount ? { type: "number", min: 0, step: "any" } : { dir: "auto", maxlength: 64 }), placeholder: "Any" });
    one.control.addEventListener("input", () => change({ [name]: one.control.value.trim() }, WAIT_MS));
    // With the field left, the chips say so, too.
    one.control.addEventListener("change", () => change({}));
    if (!isAmount) one.node.append(suggest(one.control, name === "tag" ? "tag" : "status"));
    return one.node;
  }

  async function look() {
    running?.abort();
    running = new AbortController();
    const mine = running.signal;
    root.setAttribute("aria-busy", "true");
    try {
      const answer = await ask({ facets: FACETS.join() }, mine);
      put(list, answer.records.map(recordItem));
      panel.draw(answer.facets, answer.total);
      say(total, answer.total > 0 ? counted(answer.total, "record") : "");
      put(end, answer.total === 0 ? nothing() : more(answer.next, mine));
    } catch (error) {
      if (error.name === "AbortError") return;
      put(list);
      panel.draw([], 0);
      say(total, "");
      put(end, problem(error, () => look().catch(tell)));
    } finally {
      if (!mine.aborted) root.removeAttribute("aria-busy");
    }
  }

  function ask(more, mine) {
    const moment = (day) => day && `${day}T00:00:00Z`;
    const wanted = { ...asked, published_from: moment(asked.published_from), published_to: moment(asked.published_to), limit: LIMIT, ...more };
    return get("/api/v2/records", { query: wanted, signal: mine });
  }

  function more(next, mine) {
    if (next === null) return null;
    const button = h("button", { type: "button" }, "Show more");
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        const answer = await ask({ cursor: next }, mine);
        const items = answer.records.map(recordItem);
        list.append(...items);
        put(end, more(answer.next, mine));
        items[0]?.querySelector("h2 a").focus();
      } catch (error) {
        button.disabled = false;
        tell(error);
      }
    });
    return button;
  }

  function nothing() {
    if (asked.kind || NARROWING.some((name) => asked[name])) {
      const all = h("button", { type: "button", on: { click: () => change(Object.fromEntries(NAMES.map((name) => [name, ""]))) } }, "Show all records");
      return empty("No record fits", "Take a filter away, or look among all kinds.", all);
    }
    return empty(
      "No records yet",
      "A page becomes a record when it says what it is about: an article, a product or a job, by JSON-LD, microdata or OpenGraph. For a site that says nothing, a source can have rules that tell where the facts stand.",
      h("a", { class: "button primary", href: "#/sources" }, "Sources"),
      h("a", { class: "button", href: address("docs/").href, target: "_blank", rel: "noopener" }, "API reference"),
    );
  }
}

function recordItem(row) {
  const { record } = row;
  const name = record.name || row.title || row.url;
  let notes = row.notes ?? NO_NOTES;
  remember(notes);
  const marks = h("span", { class: "marks" });
  const changed = (now) => {
    notes = now;
    put(marks, noteMarks(now));
  };
  const mark = star(row.page_id, name, notes, changed);
  const edit = h("button", { type: "button", class: "ghost small edit-notes", "aria-label": `Notes: ${name}`, title: "Notes" }, "✎");
  edit.addEventListener("click", () => notesDialog(row.page_id, name, notes, (now) => {
    changed(now);
    mark.set(now);
  }).catch(tell));
  changed(notes);
  return h(
    "li",
    { class: "record card" },
    mark.node,
    h(
      "div",
      { class: "record-body", dir: directionOf(name) },
      h("h2", null, h("a", { href: `#/pages/${row.page_id}` }, name)),
      h("p", { class: "record-line" }, line(record).filter(Boolean).map((fact) => h("span", null, fact))),
      figure(record) && h("p", { class: "record-figure", dir: "ltr" }, figure(record)),
      skills(record.skills ?? [], SKILLS),
      h("p", { class: "record-foot note" }, outside(row.url, host(row.url), { class: "quiet", dir: "ltr" }), h("span", { dir: "ltr" }, "seen ", when(row.first_seen_at)), marks),
    ),
    edit,
  );
}
