// The one place that talks to the HTTP API.

/** The folder of this document, so that a reverse proxy may put it anywhere. */
const BASE = new URL("./", document.baseURI);
const KEY = "gleaner.key";
const RETRY_MS = 2000;

export const network = new EventTarget();
let offline = false;
let probing = null;

/** What the API, or its absence, has to say. */
export class Problem extends Error {
  constructor(message, { status = 0, code = "", link = null } = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.link = link;
  }
}

export function address(path, query) {
  const url = new URL(path.replace(/^\//, ""), BASE);
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== null && value !== "") url.searchParams.set(name, value);
  }
  return url;
}

/** The key lives as long as the tab. Storage may be switched off. */
export function key() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}

export function setKey(value) {
  try {
    if (value) sessionStorage.setItem(KEY, value);
    else sessionStorage.removeItem(KEY);
  } catch {
    throw new Problem("this browser does not let the dashboard keep a key for this tab");
  }
  network.dispatchEvent(new Event("key"));
}

export function headers(more) {
  const all = new Headers(more);
  if (key()) all.set("Authorization", `Bearer ${key()}`);
  return all;
}

/** Reads. While the server cannot be reached, waits until it can. */
export function get(path, options) {
  return read("GET", path, options);
}

/** A read whose question is a body, such as a search. */
export function query(path, options) {
  return read("POST", path, options);
}

async function read(method, path, options = {}) {
  const { signal } = options;
  for (;;) {
    try {
      return await ask(method, path, options);
    } catch (problem) {
      if (problem.status !== 0 || signal?.aborted) throw problem;
      await reachable(signal);
    }
  }
}

/** Changes something. Not repeated by itself: it may have been done. */
export async function send(method, path, { query, body, signal } = {}) {
  try {
    return await ask(method, path, { query, body, signal });
  } catch (problem) {
    if (problem.status === 0 && !signal?.aborted) {
      reachable().catch(() => {});
      throw new Problem(
        "The server cannot be reached. Look whether it was done before you try again.",
      );
    }
    throw problem;
  }
}

async function ask(method, path, { query, body, signal }) {
  const request = { method, signal, headers: headers({ Accept: "application/json" }) };
  if (body !== undefined) {
    request.headers.set("Content-Type", "application/json");
    request.body = JSON.stringify(body);
  }
  let response;
  let text;
  try {
    response = await fetch(address(path, query), request);
    text = await response.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The server cannot be reached.");
  }
  let json = null;
  try {
    json = text ? JSON.parse(text) : null;
  } catch {
    // Something between here and the server answered, a proxy perhaps.
  }
  // Not ready is an answer, too: it says why.
  if (response.ok || (response.status === 503 && json?.checks)) return json;
  throw problemOf(response.status, json);
}

/** Has the browser save an answer as a file. The key cannot go along with a link. */
export async function save(path, query) {
  let response;
  let body;
  try {
    response = await fetch(address(path, query), { headers: headers() });
    body = await (response.ok ? response.blob() : response.json());
  } catch {
    throw new Problem("The file cannot be loaded.");
  }
  if (!response.ok) throw problemOf(response.status, body);
  const name = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition") ?? "");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(body);
  link.download = name?.[1] ?? "raw-copy.bin";
  link.click();
  // Once the browser has taken it.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

export function problemOf(status, json) {
  const told = json?.error;
  return new Problem(told?.message ?? `The server answered ${status}.`, {
    status,
    code: told?.code,
    link: told?.link,
  });
}

/** Settles once the server answers again; rejects when `signal` is aborted. */
export function reachable(signal) {
  probing ??= probe().finally(() => {
    probing = null;
  });
  return new Promise((resolve, reject) => {
    signal?.addEventListener("abort", () => reject(new DOMException("left", "AbortError")), {
      once: true,
    });
    probing.then(resolve, reject);
  });
}

async function probe() {
  setOffline(true);
  for (;;) {
    await new Promise((done) => setTimeout(done, RETRY_MS));
    try {
      // 502 and 504 are a proxy's way of saying that nobody is there.
      const response = await fetch(address("health"), { cache: "no-store" });
      if (response.status < 502) break;
    } catch {
      // Not yet.
    }
  }
  setOffline(false);
}

function setOffline(now) {
  if (offline === now) return;
  offline = now;
  network.dispatchEvent(new Event(now ? "lost" : "back"));
}
