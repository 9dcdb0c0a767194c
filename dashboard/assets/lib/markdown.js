// Markdown of crawled pages, as DOM nodes. It reads the Markdown that Gleaner
// writes, not all there is; what it does not know stays text. Nothing in it is
// ever parsed as HTML, images are not loaded, links are http or https.

import { h } from "./dom.js";
import { inline } from "./inline.js";

/** Nested lists and quotes of hostile pages end here. */
const DEPTH_MAX = 12;

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([\w+#.-]*)/;
const HEADING = /^ {0,3}(#{1,6})\s+(\S.*)$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])(?: +|$)/;
const TABLE_RULE = /^ {0,3}\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;

/** Yields one node for each block, so that long pages can be shown in parts. */
export function* blocks(markdown) {
  yield* parse(markdown.split(/\r?\n/), 0);
}

function* parse(lines, depth) {
  let at = 0;
  while (at < lines.length) {
    const line = lines[at];
    if (line.trim() === "") {
      at += 1;
      continue;
    }
    const [node, next] = block(lines, at, depth);
    yield node;
    at = next;
  }
}

/** The block that begins at a line, and the line behind it. */
function block(lines, at, depth) {
  const line = lines[at];
  const fence = FENCE.exec(line);
  if (fence) return code(lines, at, fence);
  const title = HEADING.exec(line);
  if (title) {
    // The page's own title is the h1 of the screen.
    const level = Math.min(title[1].length + 1, 6);
    return [h(`h${level}`, { dir: "auto" }, inline(title[2].trimEnd())), at + 1];
  }
  if (RULE.test(line)) return [h("hr"), at + 1];
  if (QUOTE.test(line) && depth < DEPTH_MAX) {
    const end = until(lines, at, (text) => !QUOTE.test(text));
    const inner = lines.slice(at, end).map((text) => text.replace(QUOTE, ""));
    return [h("blockquote", { dir: "auto" }, [...parse(inner, depth + 1)]), end];
  }
  if (ITEM.test(line) && depth < DEPTH_MAX) return list(lines, at, depth);
  if (line.includes("|") && at + 1 < lines.length && TABLE_RULE.test(lines[at + 1])) {
    return tableOf(lines, at);
  }
  const end = until(lines, at + 1, (text) => text.trim() === "" || startsBlock(text));
  const text = lines.slice(at, end).map((part) => part.trim());
  return [h("p", { dir: "auto" }, inline(text.join("\n"))), end];
}

function startsBlock(line) {
  return [FENCE, HEADING, RULE, QUOTE, ITEM].some((pattern) => pattern.test(line));
}

function until(lines, from, stop) {
  let at = from;
  while (at < lines.length && !stop(lines[at])) at += 1;
  return at;
}

function code(lines, at, [, mark, language]) {
  const end = until(lines, at + 1, (text) => {
    const closing = text.trim();
    return closing.startsWith(mark) && closing === mark[0].repeat(closing.length);
  });
  const text = lines.slice(at + 1, end).join("\n");
  const node = h("pre", { dir: "ltr", tabindex: "0", role: "group", "aria-label": "Code", "data-language": language || null }, h("code", null, text));
  return [node, end + 1];
}

function list(lines, at, depth) {
  const [, indent, mark] = ITEM.exec(lines[at]);
  const ordered = /\d/.test(mark);
  const start = ordered ? Number.parseInt(mark, 10) : null;
  const items = [];
  let here = at;
  while (here < lines.length) {
    const item = ITEM.exec(lines[here]);
    if (!item || item[1].length !== indent.length || /\d/.test(item[2]) !== ordered) break;
    const width = item[0].length;
    const body = [lines[here].slice(width)];
    here += 1;
    while (here < lines.length) {
      const text = lines[here];
      const blank = text.trim() === "";
      const inside = leading(text) > indent.length;
      // A blank line belongs to the item when what follows it does.
      if (blank ? leading(lines[here + 1] ?? "") <= indent.length : !inside) break;
      body.push(text.slice(Math.min(width, leading(text))));
      here += 1;
    }
    items.push(h("li", { dir: "auto" }, tight([...parse(body, depth + 1)])));
    while (here + 1 < lines.length && lines[here].trim() === "" && ITEM.test(lines[here + 1])) here += 1;
  }
  const tag = ordered ? "ol" : "ul";
  return [h(tag, { dir: "auto", start: start !== 1 ? start : null }, items), here];
}

function leading(text) {
  return text.trim() === "" ? 0 : text.length - text.trimStart().length;
}

/** An item of one paragraph is shown without the paragraph's space. */
function tight(nodes) {
  if (nodes[0]?.tagName !== "P") return nodes;
  return [...nodes[0].childNodes, ...nodes.slice(1)];
}

function tableOf(lines, at) {
  const end = until(lines, at + 2, (text) => !text.includes("|"));
  const row = (line, tag) =>
    h("tr", null, cells(line).map((cell) => h(tag, { dir: "auto" }, inline(cell))));
  const body = lines.slice(at + 2, end).map((line) => row(line, "td"));
  const node = h(
    "div",
    { class: "table-wrap", tabindex: "0", role: "group", "aria-label": "Table of the page" },
    h("table", null, h("thead", null, row(lines[at], "th")), h("tbody", null, body)),
  );
  return [node, end];
}

function cells(line) {
  const inner = line.trim().replace(/^\|/, "").replace(/\|$/, "");
  const found = [""];
  for (let n = 0; n < inner.length; n += 1) {
    if (inner[n] === "\\" && inner[n + 1] === "|") {
      found[found.length - 1] += "|";
      n += 1;
    } else if (inner[n] === "|") found.push("");
    else found[found.length - 1] += inner[n];
  }
  return found.map((cell) => cell.trim());
}
