// Follows a crawl or a task: server-sent events, however they can be had.

import { address, headers, key, problemOf, reachable } from "./api.js";

const AGAIN_MS = 3000;

/**
 * Calls `onState(state, isLast)` for each new state until `signal` is aborted
 * or the last one has come. `onProblem` hears of refusals.
 */
export function follow(path, { signal, onState, onProblem }) {
  const run = key() ? followByFetch : followByEventSource;
  run(path, { signal, onState, onProblem });
}

function followByEventSource(path, { signal, onState, onProblem }) {
  let source;
  let timer;
  const close = () => {
    clearTimeout(timer);
    source?.close();
  };
  const open = () => {
    if (signal.aborted) return;
    source = new EventSource(address(path));
    source.addEventListener("progress", (event) => onState(JSON.parse(event.data), false));
    source.addEventListener("end", (event) => {
      close();
      onState(JSON.parse(event.data), true);
    });
    source.addEventListener("error", () => {
      // It reconnects by itself unless it was refused; why, it does not tell.
      if (source.readyState !== EventSource.CLOSED || signal.aborted) return;
      onProblem?.(problemOf(0, { error: { message: "Live updates stopped; trying again." } }));
      timer = setTimeout(open, AGAIN_MS);
    });
  };
  signal.addEventListener("abort", close, { once: true });
  open();
}

/** EventSource cannot send a key, fetch can. */
async function followByFetch(path, { signal, onState, onProblem }) {
  let last = "";
  while (!signal.aborted) {
    try {
      const more = { Accept: "text/event-stream" };
      if (last) more["Last-Event-ID"] = last;
      const response = await fetch(address(path), { signal, headers: headers(more) });
      if (response.status === 204) return;
      if (!response.ok) throw problemOf(response.status, await response.json().catch(() => null));
      for await (const event of events(response.body)) {
        last = event.id || last;
        const isLast = event.name === "end";
        onState(JSON.parse(event.data), isLast);
        if (isLast) return;
      }
    } catch (problem) {
      if (signal.aborted) return;
      if (problem.status === undefined) {
        await reachable(signal).catch(() => {});
        continue;
      }
      onProblem?.(problem);
      if (problem.status === 401 || problem.status === 404) return;
    }
    await new Promise((done) => setTimeout(done, AGAIN_MS));
  }
}

/** The HTML standard's event stream, as far as the server writes it. */
export async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let event = { name: "", id: "", data: "" };
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines.map((text) => text.replace(/\r$/, ""))) {
      if (line === "") {
        if (event.data) yield event;
        event = { name: "", id: "", data: "" };
        continue;
      }
      const colon = line.indexOf(":");
      const field = colon < 0 ? line : line.slice(0, colon);
      const text = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (field === "event") event.name = text;
      else if (field === "id") event.id = text;
      else if (field === "data") event.data += (event.data && "\n") + text;
    }
  }
}

/** What asking again does not change: no key, not allowed, gone. */
const FINAL = [401, 403, 404];

/** Calls `work` now and every `every_ms` while the tab is seen, one at a time.
 *  The answer is a function that does so at once. */
export function poll(work, every_ms, signal) {
  let timer;
  let busy = false;
  let over = false;
  const turn = async () => {
    clearTimeout(timer);
    over = false;
    if (busy || signal.aborted || document.hidden) return;
    busy = true;
    try {
      await work();
    } catch (problem) {
      // Whoever works here shows its problems itself.
      if (FINAL.includes(problem?.status)) over = true;
    }
    busy = false;
    if (!over && !signal.aborted && !document.hidden) timer = setTimeout(turn, every_ms);
  };
  document.addEventListener("visibilitychange", turn, { signal });
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  turn();
  return turn;
}
