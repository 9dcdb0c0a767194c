// Pages that mean much the same as one.

import { get } from "../lib/api.js";
import { h } from "../lib/dom.js";
import { host, path, percent } from "../lib/format.js";

export async function similar(id, signal) {
  let list;
  try {
    ({ similar: list } = await get(`/api/v2/pages/${id}/similar`, { signal }));
  } catch (error) {
    if (error.status !== 409) throw error;
    return h("p", { class: "muted" }, "No vectors yet. Pages are compared by meaning, for which their passages need vectors: a worker makes them in the background, where embedding is switched on.");
  }
  if (list.length === 0) return h("p", { class: "muted" }, "No other page has vectors yet.");
  return h("ol", { class: "card link-list", "aria-label": "Similar pages, the nearest first" }, list.map(item));
}

function item({ similarity, page }) {
  const title = page.title || path(page.url);
  return h(
    "li",
    { class: "similar" },
    h("div", null,
      h("a", { href: `#/pages/${page.page_id}`, class: "strong clip", dir: "auto", lang: page.language }, title),
      h("span", { class: "note clip", dir: "ltr" }, host(page.url) + path(page.url))),
    h("span", { class: "note num", title: "How near it is in meaning" }, percent(Math.max(0, similarity))),
  );
}
