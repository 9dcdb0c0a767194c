// What the views of the settings have in common.

import { get } from "../lib/api.js";
import { h, newId, put } from "../lib/dom.js";
import { heading, problem, subNav } from "../lib/ui.js";

const LINKS = [["#/settings", "System"], ["#/settings/keys", "API keys"], ["#/settings/usage", "Usage"], ["#/settings/tenants", "Tenants"], ["#/settings/webhooks", "Webhooks"]];

/** Head, links to the other settings, and a place for the rest. */
export function frame(root, current, { title, lead, actions } = {}) {
  const place = h("div");
  put(root, heading(title ?? "Settings", { lead, actions }).node, subNav("Settings", LINKS, current), place);
  return place;
}

/** Whose: a choice for who runs the service; nothing for everybody else. */
export async function tenantChoice(signal, chosen, change) {
  let tenants;
  try {
    ({ tenants } = await get("/api/v2/admin/tenants", { signal }));
  } catch (error) {
    if (error.status === 403) return null;
    throw error;
  }
  if (tenants.length < 2) return null;
  const control = h("select", { id: newId(), on: { change: () => change(control.value) } }, tenants.map((one) => h("option", { value: one.id }, one.name)));
  control.value = chosen || String(tenants[0].id);
  return h("div", { class: "filters" }, h("div", { class: "field" }, h("label", { for: control.id }, "Tenant"), control));
}

/** In the place of what this key does not open. */
export function refused(error, again) {
  if (error.status !== 403) return problem(error, again);
  return h("div", { class: "card", role: "note" }, h("h2", null, "For an admin"), h("p", { class: "muted" }, error.message));
}
