// A table of what the API lists a page at a time. The rows shown first are
// looked at anew again and again; those loaded later stay as they came.

import { get } from "./api.js";
import { h, put } from "./dom.js";
import { poll } from "./live.js";
import { keyedRows, loading, problem, table, tell } from "./ui.js";

const STEP = 50;
/** Rows that are looked at anew, and loaded at a time beyond them. */
const LIVE_MAX = 500;

/**
 * `read(paging)` asks the API and resolves to `{ items, next }`; `paging` holds
 * `limit` and, beyond the live rows, `after`: the `next` before. `nothing()` is
 * shown while there are none.
 */
export function liveList({ caption, columns, row, idOf = (item) => item.id, read, nothing, every_ms, signal }) {
  const body = h("div", null, loading());
  const list = table(caption, columns);
  const rows = keyedRows(list.body, row);
  const more = h("button", { type: "button" }, "Show more");
  const end = h("p", { class: "results-end" }, more);
  let limit = STEP;
  let older = [];
  let next = null;
  let built = false;
  let period = 0;

  async function look() {
    const mine = period;
    let answer;
    try {
      answer = await read({ limit });
    } catch (error) {
      if (error.name !== "AbortError" && !built) put(body, problem(error, again));
      throw error;
    }
    // Another question was asked meanwhile.
    if (mine !== period) return;
    if (older.length === 0) next = answer.next;
    const items = [...answer.items, ...older];
    if (items.length === 0) {
      built = false;
      put(body, nothing());
      return;
    }
    if (!built) put(body, h("div", { class: "card flush" }, list.node), end);
    built = true;
    rows(items, idOf);
    end.hidden = next === null;
  }

  more.addEventListener("click", async () => {
    more.disabled = true;
    const shown = list.body.children.length;
    try {
      if (limit < LIVE_MAX) limit = Math.min(limit * 2, LIVE_MAX);
      else {
        const answer = await read({ limit: LIVE_MAX, after: next });
        older = older.concat(answer.items);
        next = answer.next;
      }
      await look();
      list.body.children[shown]?.querySelector("a, button")?.focus();
    } catch (error) {
      tell(error);
    }
    more.disabled = false;
  });

  const turn = poll(look, every_ms, signal);
  function again() {
    return turn();
  }
  return {
    node: body,
    again,
    /** Another question: begins at the top. */
    reset: () => {
      period += 1;
      [limit, older, built] = [STEP, [], false];
      return look().catch(tell);
    },
  };
}

/** All sources there are, for choices among them, up to a few thousand. */
export async function allSources(signal) {
  const found = [];
  let after;
  do {
    const { sources, next } = await get("/api/v2/sources", { query: { after, limit: 500 }, signal });
    found.push(...sources);
    after = next;
  } while (after && found.length < 3000);
  return found;
}
