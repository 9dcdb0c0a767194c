// How crawls look, wherever they are shown.

import { h, say } from "../lib/dom.js";
import { count } from "../lib/format.js";
import { badge } from "../lib/ui.js";

/** The ends that a URL can come to, and waiting for one (invariant Q2). */
const ENDS = ["added", "updated", "unchanged", "skipped", "failed", "queued"];

export function isOver(crawl) {
  return Boolean(crawl.finished_at);
}

export function crawlState(crawl) {
  if (crawl.cancel_requested && !isOver(crawl)) return badge("cancelled", "ending…");
  return badge(crawl.status);
}

/** Sitemaps and feeds wait, too, but are no pages. */
function shares(crawl) {
  const ended = ENDS.slice(0, -1).reduce((sum, name) => sum + crawl[name], 0);
  return ENDS.map((name) => [name, name === "queued" ? Math.max(0, crawl.found - ended) : crawl[name]]);
}

/** One bar of all ends. `live` bars are filled again and again. */
export function crawlBar(crawl) {
  const bar = liveBar();
  bar.fill(crawl);
  return bar.node;
}

export function liveBar() {
  const parts = new Map(ENDS.map((name) => [name, h("span", { class: `part ${name}` })]));
  const node = h("div", { class: "bar", role: "img" }, [...parts.values()]);
  const fill = (crawl) => {
    const told = shares(crawl);
    for (const [name, n] of told) {
      const part = parts.get(name);
      part.style.flexGrow = n;
      part.hidden = n === 0;
    }
    const text = told.filter(([, n]) => n > 0).map(([name, n]) => `${count(n)} ${name}`).join(", ");
    node.setAttribute("aria-label", text || "nothing yet");
    node.title = text;
  };
  return { node, fill };
}

/** The bar's legend with counts. */
export function liveLegend() {
  const figures = new Map(ENDS.map((name) => [name, h("strong", null, "0")]));
  const node = h(
    "ul",
    { class: "bar-legend" },
    ENDS.map((name) => h("li", null, h("span", { class: `swatch ${name}`, "aria-hidden": "true" }), figures.get(name), ` ${name}`)),
  );
  const fill = (crawl) => {
    for (const [name, n] of shares(crawl)) say(figures.get(name), count(n));
  };
  return { node, fill };
}
