// A list of which only the rows in sight exist. Rows are all of one height, so
// a row's place is its number times that; a hundred thousand cost what ten do.

import { h, say } from "./dom.js";

/** Rows made beyond each edge, so that fast scrolling finds something there. */
const SPARE = 8;
/** Rows from the end at which more are asked for. */
const AHEAD = 150;

/**
 * `more()` loads further rows, adds them by `add(rows)`, and resolves to false
 * at the end of the list. `build(item)` makes a row.
 */
export function virtualList({ label, rowHeight, build, more, signal }) {
  const items = [];
  const rows = new Map();
  let ended = false;
  let busy = false;
  let height = rowHeight();
  const space = h("div", { class: "v-space", role: "presentation" });
  const frame = h(
    "div",
    { class: "v-list", role: "list", "aria-label": label, tabindex: "0" },
    space,
  );

  function place() {
    const first = Math.max(0, Math.floor(frame.scrollTop / height) - SPARE);
    const seen = Math.ceil(frame.clientHeight / height);
    const last = Math.min(items.length, first + seen + 2 * SPARE);
    for (const [n, node] of rows) {
      // A row with the focus stays, or the keyboard would lose its place.
      if ((n < first || n >= last) && !node.contains(document.activeElement)) {
        node.remove();
        rows.delete(n);
      }
    }
    for (let n = first; n < last; n += 1) {
      if (rows.has(n)) continue;
      const node = build(items[n], n);
      node.setAttribute("role", "listitem");
      node.setAttribute("aria-posinset", n + 1);
      node.setAttribute("aria-setsize", ended ? items.length : -1);
      node.classList.add("v-row");
      node.style.transform = `translateY(${n * height}px)`;
      rows.set(n, node);
      // In the order that is read and tabbed through.
      let next = n + 1;
      while (next < last && !rows.has(next)) next += 1;
      space.insertBefore(node, rows.get(next) ?? null);
    }
    if (!ended && last + AHEAD > items.length) load();
  }

  async function load() {
    if (busy || ended) return;
    busy = true;
    try {
      ended = !(await more());
    } catch (error) {
      ended = true;
      if (error.name !== "AbortError") throw error;
    } finally {
      busy = false;
    }
    place();
  }

  function add(found) {
    for (const item of found) items.push(item);
    space.style.height = `${items.length * height}px`;
    place();
  }

  let waiting = false;
  frame.addEventListener(
    "scroll",
    () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => {
        waiting = false;
        place();
      });
    },
    { passive: true },
  );
  frame.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const row = document.activeElement.closest?.(".v-row");
    const at = [...rows].find(([, node]) => node === row)?.[0];
    if (at === undefined) return;
    event.preventDefault();
    const to = Math.min(Math.max(at + step, 0), items.length - 1);
    const top = to * height;
    if (top < frame.scrollTop) frame.scrollTop = top;
    if (top + height > frame.scrollTop + frame.clientHeight) {
      frame.scrollTop = top + height - frame.clientHeight;
    }
    place();
    rows.get(to)?.querySelector("a")?.focus({ preventScroll: true });
  });

  // Narrow screens have higher rows: everything moves, the first row stays.
  const watcher = new ResizeObserver(() => {
    const first = frame.scrollTop / height;
    const next = rowHeight();
    if (next !== height) {
      height = next;
      space.style.height = `${items.length * height}px`;
      for (const node of rows.values()) node.remove();
      rows.clear();
      frame.scrollTop = first * height;
    }
    place();
  });
  watcher.observe(frame);
  signal.addEventListener("abort", () => watcher.disconnect(), { once: true });

  return {
    node: frame,
    add,
    load,
    count: () => items.length,
    ended: () => ended,
    scrollTo: (top) => {
      frame.scrollTop = top;
      place();
    },
    scrolled: () => frame.scrollTop,
  };
}

/** "500 pages so far" */
export function tally(node, list, one, many) {
  const n = list.count().toLocaleString("en");
  const name = list.count() === 1 ? one : many;
  say(node, list.ended() ? `${n} ${name}` : `${n} ${name} loaded, more as you scroll`);
}
