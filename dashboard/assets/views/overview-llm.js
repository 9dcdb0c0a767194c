// What the language model was asked lately, for the overview.

import { get } from "../lib/api.js";
import { h, say } from "../lib/dom.js";
import { count, money, percent } from "../lib/format.js";

/** Nothing while no language model is configured or was asked. */
export function languageModelPart(signal) {
  const figures = {};
  const total = (name, label) => {
    const figure = h("strong", { class: "figure" }, "–");
    const note = h("span", { class: "note" });
    figures[name] = { figure, note };
    return h("li", null, h("div", { class: "card total" }, h("span", { class: "label" }, label), figure, note));
  };
  const cards = h("ul", { class: "totals" },
    total("calls", "Calls, 30 days"), total("success", "Succeeded"), total("tokens", "Tokens, 30 days"), total("today", "Tokens today"), total("time", "Time of a call"));
  const title = h("h2", null, "Language model");
  const node = h("section", { "aria-label": "Language model", hidden: true }, title, cards);
  const set = (name, figure, note) => {
    say(figures[name].figure, figure);
    say(figures[name].note, note);
  };
  return {
    node,
    look: async () => {
      const all = await get("/api/v2/metrics/llm", { query: { days: 30 }, signal });
      node.hidden = !all.model && all.total_requests === 0;
      if (node.hidden) return;
      say(title, all.model ? `Language model: ${all.model}` : "Language model");
      set("calls", count(all.total_requests), all.fallback_requests > 0 ? `${count(all.fallback_requests)} did without it` : "none did without it");
      set("success", all.total_requests === 0 ? "–" : percent(all.success_rate_percent / 100), `${count(all.attempts)} requests`);
      const cost = typeof all.cost === "number" && `about ${money(all.cost)} ${all.currency}`;
      set("tokens", count(all.total_tokens), cost || `${count(all.tokens_in)} in, ${count(all.tokens_out)} out`);
      const { used, reserved, max } = all.today;
      set("today", count(used), `${typeof max === "number" ? `of ${count(max)}` : "no limit"}${reserved > 0 ? `, ${count(reserved)} set aside` : ""}`);
      set("time", all.total_requests === 0 ? "–" : `${all.average_time_seconds.toFixed(1)} s`, `${count(Math.round(all.average_tokens))} tokens each`);
    },
  };
}
