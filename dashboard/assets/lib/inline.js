// Text within a Markdown block: code, links, images (as links), emphasis.
// One pass; closing marks are looked for a fixed way ahead, and after too many
// searches for nothing the rest is plain: a page of a million brackets takes
// little longer than one of letters.

import { h, outside } from "./dom.js";

/** How far a closing mark may be from its opening one. */
const REACH = 4000;
const DEPTH_MAX = 6;
/** Searches for nothing in one block, after which it is plain text. */
const MISSES_MAX = 500;
let misses = 0;

const ESCAPABLE = /[\\`*_{}[\]()#+\-.!|<>~]/;

export function inline(text, depth = 0) {
  if (depth === 0) misses = 0;
  const nodes = [];
  let plain = "";
  const flush = () => {
    if (plain) nodes.push(plain);
    plain = "";
  };
  let at = 0;
  while (at < text.length) {
    const found = special(text, at, depth);
    if (found?.text !== undefined) {
      plain += found.text;
      at = found.end;
    } else if (found) {
      flush();
      nodes.push(found.node);
      at = found.end;
    } else {
      plain += text[at];
      at += 1;
    }
  }
  flush();
  return nodes;
}

function special(text, at, depth) {
  const char = text[at];
  if (misses > MISSES_MAX) return null;
  if (char === "\\") {
    if (text[at + 1] === "\n") return { node: h("br"), end: at + 2 };
    if (ESCAPABLE.test(text[at + 1] ?? "")) return { text: text[at + 1], end: at + 2 };
    return null;
  }
  if (char === "`") return codeSpan(text, at);
  if (depth >= DEPTH_MAX) return null;
  if (char === "!" && text[at + 1] === "[") return link(text, at + 1, depth, true);
  if (char === "[") return link(text, at, depth, false);
  if (char === "<") return bareLink(text, at);
  if (char === "*" || char === "_" || char === "~") return emphasis(text, at, depth);
  return null;
}

function missed(result) {
  misses += 1;
  return result;
}

function codeSpan(text, at) {
  let ticks = 1;
  while (text[at + ticks] === "`") ticks += 1;
  const mark = "`".repeat(ticks);
  const window = text.slice(at + ticks, at + ticks + REACH);
  const end = window.indexOf(mark);
  if (end < 0) return missed({ text: mark, end: at + ticks });
  return { node: h("code", { dir: "ltr" }, window.slice(0, end).replace(/^ (.+) $/, "$1")), end: at + ticks + end + ticks };
}

/** `[text](url "title")` */
function link(text, at, depth, isImage) {
  const close = matching(text, at, "[", "]");
  if (close < 0) return missed(null);
  if (text[close + 1] !== "(") return null;
  const end = matching(text, close + 1, "(", ")");
  if (end < 0) return missed(null);
  const target = text.slice(close + 2, end).trim();
  const url = (target.startsWith("<") ? target.slice(1, target.indexOf(">")) : target.split(/\s/, 1)[0]).replace(/\\(.)/g, "$1");
  const label = text.slice(at + 1, close);
  if (isImage) {
    const name = label.trim() || "without a name";
    // Not shown: it would tell its server who reads here.
    return { node: outside(url, name, { class: "image-link", dir: "auto" }), end: end + 1 };
  }
  // A link within a link would be no tree that a browser keeps.
  const inner = inline(label, depth + 1).map(unlinked);
  return { node: outside(url, inner.length ? h("span", null, inner) : url, {}), end: end + 1 };
}

function unlinked(node) {
  return node instanceof Element && (node.tagName === "A" || node.querySelector("a")) ? node.textContent : node;
}

/** Where what opens at `at` closes; -1 when that is not near. */
function matching(text, at, open, close) {
  let deep = 0;
  const last = Math.min(text.length, at + REACH);
  for (let n = at; n < last; n += 1) {
    if (text[n] === "\\") n += 1;
    else if (text[n] === open) deep += 1;
    else if (text[n] === close) {
      deep -= 1;
      if (deep === 0) return n;
    }
  }
  return -1;
}

function bareLink(text, at) {
  const end = text.slice(at, at + REACH).indexOf(">");
  if (end < 0) return missed(null);
  const url = text.slice(at + 1, at + end);
  if (!/^https?:[^\s<]+$/.test(url)) return null;
  return { node: outside(url, url, { dir: "ltr" }), end: at + end + 1 };
}

const TAGS = { "**": "strong", __: "strong", "*": "em", _: "em", "~~": "del" };

function emphasis(text, at, depth) {
  const char = text[at];
  const mark = text[at + 1] === char ? char + char : char;
  const tag = TAGS[mark];
  const after = text[at + mark.length];
  const before = text[at - 1];
  if (!tag || !after || /\s/.test(after)) return { text: mark, end: at + mark.length };
  // snake_case is no emphasis.
  if (char === "_" && before && /[\p{L}\p{N}]/u.test(before)) return { text: mark, end: at + mark.length };
  const from = at + mark.length;
  const window = text.slice(from, from + REACH);
  let end = window.indexOf(mark);
  while (end >= 0 && (/\s/.test(window[end - 1] ?? " ") || window[end - 1] === "\\")) end = window.indexOf(mark, end + 1);
  if (end <= 0) return missed({ text: mark, end: from });
  return { node: h(tag, null, inline(window.slice(0, end), depth + 1)), end: from + end + mark.length };
}
