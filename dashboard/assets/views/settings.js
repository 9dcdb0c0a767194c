// How the server is, where its documentation is, and the key in use.

import { address, get, key } from "../lib/api.js";
import { h, put } from "../lib/dom.js";
import { bytes, count, milliseconds, percent, seconds } from "../lib/format.js";
import { poll } from "../lib/live.js";
import { badge, facts, keyForm, loading, problem } from "../lib/ui.js";
import { frame } from "./settings-nav.js";

const EVERY_MS = 5000;

const CHECKS = {
  database: "The database can be read",
  queue: "The queue can be read",
  model: "The embedding model can be loaded",
  disk: "There is room on the disk",
};

export async function show({ root, signal, setTitle }) {
  setTitle("Settings");
  const ready = h("div", null, loading());
  const system = h("div", null, loading());
  const docs = [
    ["docs/", "API reference", "Every call, to read and to try out"],
    ["docs/errors", "Error codes", "What each one means and what to do"],
    ["openapi.json", "OpenAPI document", "For generators of clients"],
    ["metrics", "Metrics", "For Prometheus"],
  ];
  put(
    frame(root, "#/settings", { title: "Settings" }),
    h("div", { class: "columns" },
      section("Ready", ready),
      section("System", system),
      section("Key of this tab", h("p", null, key() ? "A key is sent with every request of this tab." : "On its own machine Gleaner asks for no key. A server that is reachable from outside does."), keyForm()),
      section("Documentation", h("ul", { class: "bare docs" }, docs.map(([path, name, note]) => h("li", null, h("a", { href: address(path).href, target: "_blank", rel: "noopener" }, name), h("p", { class: "note" }, note))))),
    ),
  );

  // /ready is open to all; the status may need a key, so each fails alone.
  const drawReady = async () => {
    const { ready: all, checks } = await get("/ready", { signal });
    put(
      ready,
      h("p", null, badge(all ? "succeeded" : "failed", all ? "ready" : "not ready")),
      h("ul", { class: "checks" }, checks.map((check) =>
        h("li", { class: check.ok ? "ok" : "bad" },
          h("span", { class: "tick", "aria-hidden": "true" }, check.ok ? "✓" : "✕"),
          h("span", null, h("span", { class: "hidden-text" }, check.ok ? "Passed: " : "Failed: "), CHECKS[check.name] ?? check.name, check.detail && h("span", { class: "note" }, ` (${check.detail})`))))),
    );
  };
  const drawSystem = async () => {
    const status = await get("/api/v2/system/status", { signal });
    const { requests } = status;
    put(
      system,
      facts([
        ["Version", status.version],
        ["Up for", seconds(status.uptime_s)],
        ["Memory", status.memory_bytes ? bytes(status.memory_bytes) : null],
        ["CPU time", seconds(status.cpu_s)],
        ["Live streams", count(status.event_streams)],
        ["Requests", count(requests.requests)],
        ["p50 / p95 / p99", [requests.p50_ms, requests.p95_ms, requests.p99_ms].map(milliseconds).join(" / ")],
        ["Errors", `${count(requests.errors)} (${percent(requests.error_rate)})`],
      ]),
    );
  };
  const each = async (draw, place) => {
    try {
      await draw();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      put(place, error.status === 401 ? h("p", { class: "muted" }, error.message) : problem(error));
      throw error;
    }
  };
  poll(() => each(drawReady, ready), EVERY_MS, signal);
  poll(() => each(drawSystem, system), EVERY_MS, signal);
}

function section(title, ...content) {
  return h("section", { class: "card", "aria-label": title }, h("h2", null, title), content);
}
