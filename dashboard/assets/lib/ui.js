// Pieces that several views are made of.

import { Problem, address, key, setKey } from "./api.js";
import { h, newId, outside, say } from "./dom.js";

const TOAST_MS = 6000;

/** Says something at the edge of the screen, and to screen readers. */
export function toast(text, kind = "info") {
  const area = document.getElementById(kind === "error" ? "alerts" : "notices");
  const close = h("button", { type: "button", class: "ghost small", "aria-label": "Dismiss" }, "✕");
  const item = h("div", { class: `toast ${kind}` }, h("span", { dir: "auto" }, text), close);
  close.addEventListener("click", () => item.remove());
  area.append(item);
  // Errors stay until they are read.
  if (kind !== "error") setTimeout(() => item.remove(), TOAST_MS);
  while (area.children.length > 4) area.firstChild.remove();
}

/** Tells of what failed, unless it was only left. */
export function tell(error) {
  if (error?.name === "AbortError") return;
  if (!(error instanceof Problem)) console.error(error);
  toast(error.message, "error");
}

/** In the place of what could not be loaded. */
export function problem(error, again) {
  if (error.status === 401) return keyNeeded(error.message);
  const retry = again && h("button", { type: "button", on: { click: again } }, "Try again");
  const about =
    error.code &&
    outside(address(`docs/errors#${error.code}`).href, "About this error", { class: "quiet" });
  return h(
    "div",
    { class: "card problem", role: "alert" },
    h("h2", null, error.status === 404 ? "Not here" : "That did not work"),
    h("p", { dir: "auto" }, error.message),
    h("p", { class: "actions" }, retry, about),
  );
}

function keyNeeded(message) {
  return h(
    "div",
    { class: "card problem", role: "alert" },
    h("h2", null, "An API key is needed"),
    h("p", null, message),
    keyForm(),
  );
}

/** The key stays in this tab's session storage and goes with every request. */
export function keyForm() {
  const id = newId();
  const input = h("input", {
    id,
    type: "password",
    autocomplete: "off",
    spellcheck: "false",
    required: true,
    placeholder: key() ? "a key is set for this tab" : "",
  });
  const use = (value) => {
    try {
      setKey(value);
    } catch (error) {
      tell(error);
    }
  };
  const forget =
    key() && h("button", { type: "button", class: "ghost", on: { click: () => use("") } }, "Forget it");
  return h(
    "form",
    {
      class: "inline-form",
      on: {
        submit: (event) => {
          event.preventDefault();
          use(input.value.trim());
        },
      },
    },
    h("label", { for: id }, "API key"),
    h("div", { class: "row" }, input, h("button", { class: "primary" }, "Use this key"), forget),
    h("p", { class: "hint" }, "Kept in this tab only, and gone when you close it."),
  );
}

export function empty(title, text, ...actions) {
  return h(
    "div",
    { class: "empty" },
    h("h2", null, title),
    h("p", null, text),
    actions.length > 0 && h("p", { class: "actions" }, actions),
  );
}

export function loading(text = "Loading…") {
  return h("p", { class: "loading", role: "status" }, text);
}

export function badge(state, text = state) {
  return h("span", { class: `badge ${state}` }, text);
}

/** A page's head: what it is, and what can be done. */
export function heading(title, { lead, actions } = {}) {
  const name = h("h1", { tabindex: "-1", dir: "auto" }, title);
  const node = h(
    "header",
    { class: "page-head" },
    h("div", null, name, lead && h("p", { class: "lead" }, lead)),
    actions && h("div", { class: "actions" }, actions),
  );
  return { node, rename: (text) => say(name, text) };
}

/** Name and value pairs; values may be nodes. */
export function facts(pairs) {
  return h(
    "dl",
    { class: "facts" },
    pairs
      .filter(([, value]) => ![undefined, null, false, ""].includes(value))
      .map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))),
  );
}

/** A button that does one thing at a time and tells when it fails. */
export function action(label, work, props) {
  const button = h("button", { type: "button", ...props }, label);
  button.addEventListener("click", async () => {
    if (button.getAttribute("aria-busy") === "true") return;
    button.setAttribute("aria-busy", "true");
    try {
      await work(button);
    } catch (error) {
      tell(error);
    } finally {
      button.removeAttribute("aria-busy");
    }
  });
  return button;
}

/** A table with a caption for those who do not see it. Cells carry their
 *  column's name, which narrow screens show beside them. */
export function table(caption, columns, rows) {
  const body = h("tbody", null, rows);
  const node = h(
    "div",
    { class: "table-wrap" },
    h(
      "table",
      null,
      h("caption", { class: "hidden-text" }, caption),
      h(
        "thead",
        null,
        h("tr", null, columns.map(([name, kind]) => h("th", { scope: "col", class: kind }, name))),
      ),
      body,
    ),
  );
  return { node, body };
}

export function tableRow(columns, cells, props) {
  return h(
    "tr",
    props,
    cells.map((cell, n) => {
      const [name, kind] = columns[n];
      return h("td", { class: kind, "data-name": name }, cell);
    }),
  );
}

/** Keeps rows by id, so that what has the focus stays where it is. */
export function keyedRows(body, build) {
  let known = new Map();
  return (items, idOf) => {
    const next = new Map();
    const nodes = items.map((item) => {
      const id = idOf(item);
      const text = JSON.stringify(item);
      const before = known.get(id);
      if (before && before.text === text) {
        next.set(id, before);
        return before.node;
      }
      const node = build(item);
      next.set(id, { node, text });
      if (before?.node.contains(document.activeElement)) moveFocus(before.node, node);
      return node;
    });
    known = next;
    nodes.forEach((node, n) => {
      if (body.children[n] !== node) body.insertBefore(node, body.children[n] ?? null);
    });
    while (body.children.length > nodes.length) body.lastChild.remove();
  };
}

/** To the control at the same place of the row that takes over. */
function moveFocus(from, to) {
  const controls = (node) => [...node.querySelectorAll("a, button, summary")];
  const at = controls(from).indexOf(document.activeElement);
  requestAnimationFrame(() => controls(to)[at]?.focus());
}

/** Links between views that belong together. */
export function subNav(label, links, current) {
  const node = h(
    "nav",
    { class: "sub", "aria-label": label },
    links.map(([href, name]) => h("a", { href, "aria-current": href === current ? "page" : null }, name)),
  );
  // Narrow screens do not show all of them at once.
  requestAnimationFrame(() => node.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" }));
  return node;
}

/** How much of what may be is used; `most` null means no limit. */
export function meter(label, used, most, text) {
  const share = most ? Math.min(1, used / most) : 0;
  const state = most && used >= most ? "full" : share >= 0.8 ? "near" : "";
  const told = most ? `${text(used)} of ${text(most)}` : `${text(used)}, no limit`;
  const bar = most && h("progress", { class: state, max: 1, "aria-label": label, "aria-valuetext": told });
  if (bar) bar.value = share;
  return h("div", { class: "meter" }, h("p", null, h("span", null, label), h("strong", null, told)), bar);
}
