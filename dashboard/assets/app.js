// Starts the dashboard: the route in the address's hash says which view is shown.

import { network } from "./lib/api.js";
import { put, say } from "./lib/dom.js";
import { ago } from "./lib/format.js";
import { empty, problem } from "./lib/ui.js";
import { show as ask } from "./views/ask.js";
import { show as crawl } from "./views/crawl.js";
import { show as crawls } from "./views/crawls.js";
import { show as overview } from "./views/overview.js";
import { show as page } from "./views/page.js";
import { show as pages } from "./views/pages.js";
import { show as records } from "./views/records.js";
import { show as search } from "./views/search.js";
import { show as settings } from "./views/settings.js";
import { show as keys } from "./views/settings-keys.js";
import { show as tenants } from "./views/settings-tenants.js";
import { show as usage } from "./views/settings-usage.js";
import { show as webhook } from "./views/webhook.js";
import { show as webhooks } from "./views/webhooks.js";
import { show as source } from "./views/source.js";
import { show as sourceNew } from "./views/source-new.js";
import { show as sources } from "./views/sources.js";
import { show as task } from "./views/task.js";
import { show as tasks } from "./views/tasks.js";

/** Pattern, view, and the entry of the navigation that it belongs to. */
const ROUTES = [
  [/^\/$/, overview, "overview"],
  [/^\/search$/, search, "search"],
  [/^\/ask$/, ask, "ask"],
  [/^\/sources$/, sources, "sources"],
  [/^\/sources\/new$/, sourceNew, "sources"],
  [/^\/sources\/(\d+)$/, source, "sources"],
  [/^\/crawls$/, crawls, "sources"],
  [/^\/crawls\/(\d+)$/, crawl, "sources"],
  [/^\/records$/, records, "records"],
  [/^\/pages$/, pages, "pages"],
  [/^\/pages\/(\d+)$/, page, "pages"],
  [/^\/tasks$/, tasks, "tasks"],
  [/^\/tasks\/(\d+)$/, task, "tasks"],
  [/^\/settings$/, settings, "settings"],
  [/^\/settings\/keys$/, keys, "settings"],
  [/^\/settings\/tenants$/, tenants, "settings"],
  [/^\/settings\/usage$/, usage, "settings"],
  [/^\/settings\/webhooks$/, webhooks, "settings"],
  [/^\/settings\/webhooks\/(\d+)$/, webhook, "settings"],
];

const TIMES_MS = 15_000;

const main = document.getElementById("main");
let leave = null;
let shown = null;

function location_() {
  const [path, query] = window.location.hash.replace(/^#/, "").split("?", 2);
  return { path: path || "/", query: new URLSearchParams(query) };
}

/** Shows what the address says. Leaving a view aborts all that it began. */
async function route() {
  // "Skip to content" is an anchor, not a route.
  if (window.location.hash === "#main") {
    history.replaceState(null, "", shown ?? "#/");
    main.focus();
    return;
  }
  const first = shown === null;
  shown = window.location.hash;
  leave?.abort();
  leave = new AbortController();
  const { signal } = leave;
  const { path, query } = location_();
  const [match, view, name] = find(path);
  mark(name);
  put(main);
  setTitle("");
  window.scrollTo(0, 0);
  if (!view) {
    put(main, empty("There is nothing here", `The dashboard has no page ${path}.`));
    return;
  }
  const root = document.createElement("div");
  root.className = `view ${name}`;
  main.append(root);
  const focus = () => {
    // Screen readers hear where they are; on the first load the browser says it.
    if (!signal.aborted && !first && !root.contains(document.activeElement)) {
      root.querySelector("h1")?.focus({ preventScroll: true });
    }
  };
  try {
    const showing = view({ root, id: Number(match[1]), query, signal, setTitle, setQuery });
    focus();
    await showing;
    // Its heading may have had to wait for an answer.
    if (document.activeElement === document.body) focus();
  } catch (error) {
    if (signal.aborted || error.name === "AbortError") return;
    if (error.status === undefined) console.error(error);
    put(root, problem(error, route));
  }
}

function find(path) {
  for (const [pattern, view, name] of ROUTES) {
    const match = pattern.exec(path);
    if (match) return [match, view, name];
  }
  return [];
}

function mark(name) {
  for (const link of document.querySelectorAll("nav [data-view]")) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function setTitle(text) {
  document.title = text ? `${text} · Gleaner` : "Gleaner";
}

/** Puts filters into the address, so that it can be kept, shared and gone back to. */
function setQuery(query) {
  const text = new URLSearchParams(
    Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined),
  ).toString();
  shown = `#${location_().path}${text && "?"}${text}`;
  history.replaceState(null, "", shown);
}

window.addEventListener("hashchange", route);
network.addEventListener("key", route);
network.addEventListener("lost", () => {
  say(document.getElementById("lost"), "The server cannot be reached. Trying again…");
});
network.addEventListener("back", () => say(document.getElementById("lost"), ""));

// As in many places: a slash goes to the search.
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea, select, dialog");
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  const input = document.querySelector("input[type=search][data-focus]");
  if (input) input.focus();
  else window.location.hash = "#/search";
});

// "3 min. ago" does not stay true.
setInterval(() => {
  for (const time of document.querySelectorAll("time[datetime]:not([data-day])")) {
    say(time, ago(time.dateTime));
  }
}, TIMES_MS);

route();
