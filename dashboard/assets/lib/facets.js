// Values to narrow a list by, with how many there are of each; and what a list
// is narrowed by, each to be taken away.

import { h, newId, put } from "./dom.js";
import { count } from "./format.js";
import { factName, factValue } from "./record.js";

/** Values of a fact that are shown before all that were counted. */
const FEW = 6;
const WIDE = window.matchMedia("(min-width: 1000px)");

/**
 * `chosen(name)` is the value that the list is narrowed by, or ""; `choose(name,
 * value)` narrows it, by "" not any more. `draw` takes the facets as the API
 * counts them, and how many were found in all.
 */
export function facetPanel({ chosen, choose, sources }) {
  const place = h("div", { class: "facet-list" });
  const node = h("details", { class: "facets", open: WIDE.matches, hidden: true }, h("summary", null, "Narrow down"), place);
  const unfolded = new Set();
  let redraw = () => {};

  function draw(facets, total) {
    redraw = () => draw(facets, total);
    const held = place.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    // A value that all have tells nothing, unless it was chosen.
    const telling = facets.filter(({ name, values }) => values.length > 0 && (values[0].count < total || values.length > 1 || chosen(name)));
    put(place, telling.map(section));
    node.hidden = telling.length === 0;
    if (held === null) return;
    const buttons = [...place.querySelectorAll("button")];
    (buttons.find((button) => button.dataset.key === held) ?? buttons[0])?.focus({ preventScroll: true });
  }

  function section({ name, values, distinct }) {
    const id = newId();
    const few = unfolded.has(name) ? values : values.slice(0, FEW);
    const rest = values.length - few.length;
    const more = rest > 0 && h("button", { type: "button", class: "facet-more", "data-key": `${name} more` }, `${count(rest)} more`);
    if (more) {
      more.addEventListener("click", () => {
        unfolded.add(name);
        redraw();
        place.querySelectorAll(`[data-of="${name}"]`)[FEW]?.focus();
      });
    }
    const left = distinct - values.length;
    return h(
      "section",
      { "aria-labelledby": id },
      h("h3", { id }, factName(name)),
      h("ul", null, few.map((value) => h("li", null, valueButton(name, value)))),
      more,
      !more && left > 0 && h("p", { class: "note" }, `and ${count(left)} rarer`),
    );
  }

  function valueButton(name, { value, count: many }) {
    const pressed = same(chosen(name), value);
    const text = factValue(name, value, sources);
    const button = h(
      "button",
      { type: "button", class: "facet", "aria-pressed": String(pressed), "data-key": `${name}=${value}`, "data-of": name, title: text },
      h("span", { dir: "auto", class: "clip" }, text),
      h("span", { class: "num" }, count(many)),
    );
    button.addEventListener("click", () => choose(name, pressed ? "" : value));
    return button;
  }

  return { node, draw };
}

/** Names are matched in any case. */
function same(one, other) {
  return one.toLowerCase() === other.toLowerCase();
}

/** `active` are names, labels and texts of what narrows the list. */
export function chips({ remove, clear }) {
  const node = h("ul", { class: "chips", "aria-label": "Narrowed down by" });
  function draw(active) {
    const held = [...node.querySelectorAll("button")].indexOf(document.activeElement);
    put(node, active.map(([name, label, text]) =>
      h("li", null, h("button", { type: "button", class: "chip", "aria-label": `Take away ${label}: ${text}`, on: { click: () => remove(name) } }, `${label}: `, h("bdi", { dir: "auto" }, text), h("span", { "aria-hidden": "true" }, "✕")))),
    active.length > 1 && h("li", null, h("button", { type: "button", class: "small ghost", on: { click: clear } }, "Clear all")));
    if (held < 0) return;
    const buttons = node.querySelectorAll("button");
    (buttons[Math.min(held, buttons.length - 1)] ?? document.querySelector("main h1"))?.focus({ preventScroll: true });
  }
  return { node, draw };
}
