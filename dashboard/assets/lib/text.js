// Highlights, whose ranges are bytes of UTF-8 while strings here are UTF-16.

import { h } from "./dom.js";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Text nodes and <mark>s for `text` with byte `ranges` marked. */
export function marked(text, ranges) {
  const bytes = encoder.encode(text);
  const parts = [];
  let at = 0;
  const sorted = [...(ranges ?? [])].sort((a, b) => a[0] - b[0]);
  for (const [from, to] of sorted) {
    const start = Math.max(from, at);
    const end = Math.min(to, bytes.length);
    if (end <= start) continue;
    parts.push(decoder.decode(bytes.subarray(at, start)));
    parts.push(h("mark", null, decoder.decode(bytes.subarray(start, end))));
    at = end;
  }
  parts.push(decoder.decode(bytes.subarray(at)));
  return parts.filter((part) => part !== "");
}
