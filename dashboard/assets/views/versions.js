// The versions of a page, and what changed between two of them.

import { get } from "../lib/api.js";
import { h, newId, put } from "../lib/dom.js";
import { count, counted, exactly, when } from "../lib/format.js";
import { loading, problem } from "../lib/ui.js";

/** Unchanged lines shown around a change; longer stretches are folded. */
const AROUND = 3;
/** Lines put into the document at once. */
const PART = 1500;
const SIGNS = { "+": ["added", "+", "Added: "], "-": ["removed", "−", "Removed: "], " ": ["same", " ", ""] };

export async function versions(page, signal) {
  const { versions: list } = await get(`/api/v2/pages/${page.page_id}/versions`, { signal });
  const newest = [...list].reverse();
  if (newest.length < 2) {
    return h("p", { class: "muted" }, "Only one version so far, seen ", when(newest[0]?.seen_at), ". When the page changes, the difference is shown here.");
  }
  const options = () => newest.map((one) => h("option", { value: one.version }, `${one.version}, ${exactly(one.seen_at)}`));
  const choice = (label, value) => {
    const control = h("select", { id: newId(), on: { change: () => compare() } }, options());
    control.value = value;
    return { control, node: h("div", { class: "field" }, h("label", { for: control.id }, label), control) };
  };
  const from = choice("From version", newest[1].version);
  const to = choice("To version", newest[0].version);
  const place = h("div", { "aria-live": "polite" });
  async function compare() {
    put(place, loading("Comparing…"));
    const query = { from: from.control.value, to: to.control.value };
    try {
      const { lines } = await get(`/api/v2/pages/${page.page_id}/diff`, { query, signal });
      put(place, diff(lines));
    } catch (error) {
      if (error.name !== "AbortError") put(place, problem(error, compare));
    }
  }
  compare();
  return [h("div", { class: "filters" }, from.node, to.node), place];
}

function diff(lines) {
  const added = lines.filter((line) => line.op === "+").length;
  const removed = lines.filter((line) => line.op === "-").length;
  if (added + removed === 0) return h("p", { class: "muted" }, "The text is the same; only the title or metadata differ.");
  const node = h("div", { class: "card diff", role: "group", "aria-label": "Differences, line by line" });
  const rest = pieces(lines);
  const more = h("button", { type: "button", class: "small" }, "Show more of the difference");
  const next = () => {
    more.remove();
    for (let n = 0; n < PART; n += 1) {
      const { done, value } = rest.next();
      if (done) return;
      node.append(value);
    }
    node.append(more);
  };
  more.addEventListener("click", next);
  next();
  return [h("p", { class: "note" }, `${counted(added, "line")} added, ${counted(removed, "line")} removed`), node];
}

/** Runs of changed lines, paired; runs of unchanged ones, folded. */
function* pieces(lines) {
  let at = 0;
  while (at < lines.length) {
    const same = lines[at].op === " ";
    let end = at;
    while (end < lines.length && (lines[end].op === " ") === same) end += 1;
    const run = lines.slice(at, end);
    if (!same) yield* changed(run);
    else {
      const head = at === 0 ? 0 : AROUND;
      const tail = end === lines.length ? 0 : AROUND;
      // A fold that hides one line takes as much room as the line.
      if (run.length > head + tail + 1) {
        yield* run.slice(0, head).map((line) => lineNode(line));
        yield fold(run.slice(head, run.length - tail));
        yield* run.slice(run.length - tail).map((line) => lineNode(line));
      } else yield* run.map((line) => lineNode(line));
    }
    at = end;
  }
}

/** Lines that took each other's place show the words in which they differ. */
function* changed(run) {
  const text = (line) => line.text.trim() !== "";
  const removed = run.filter((line) => line.op === "-");
  const added = run.filter((line) => line.op === "+");
  const old = removed.filter(text);
  const fresh = added.filter(text);
  const paired = old.length === fresh.length;
  const other = new Map();
  if (paired) old.forEach((line, n) => other.set(line, fresh[n].text).set(fresh[n], line.text));
  for (const line of [...removed, ...added]) yield lineNode(line, other.get(line));
}

function lineNode({ op, text }, other) {
  const [kind, sign, spoken] = SIGNS[op] ?? SIGNS[" "];
  return h(
    "div",
    { class: `line-of ${kind}` },
    h("span", { class: "sign", "aria-hidden": "true" }, sign),
    h("div", { dir: "auto", class: "line-text" }, spoken && h("span", { class: "hidden-text" }, spoken), other === undefined ? text : differing(text, other)),
  );
}

/** The words between what two lines begin and end with in common. */
function differing(text, other) {
  const words = (line) => line.split(/(\s+)/);
  const [mine, theirs] = [words(text), words(other)];
  const most = Math.min(mine.length, theirs.length);
  let head = 0;
  while (head < most && mine[head] === theirs[head]) head += 1;
  let tail = 0;
  while (tail < most - head && mine[mine.length - 1 - tail] === theirs[theirs.length - 1 - tail]) tail += 1;
  if (head + tail === 0) return text;
  const middle = mine.slice(head, mine.length - tail).join("");
  return [mine.slice(0, head).join(""), middle && h("mark", null, middle), mine.slice(mine.length - tail).join("")];
}

function fold(lines) {
  const button = h("button", { type: "button", class: "fold" }, `${count(lines.length)} unchanged lines`);
  button.addEventListener("click", () => {
    const nodes = lines.slice(0, PART).map((line) => lineNode(line));
    if (lines.length > PART) nodes.push(fold(lines.slice(PART)));
    nodes[0].tabIndex = -1;
    button.replaceWith(...nodes);
    nodes[0].focus({ preventScroll: true });
  });
  return button;
}
