// API keys: made, shown once, replaced, revoked.

import { get, send } from "../lib/api.js";
import { foreign, h, put } from "../lib/dom.js";
import { confirm, formDialog, secretDialog } from "../lib/dialog.js";
import { Wrong, input, select } from "../lib/form.js";
import { when } from "../lib/format.js";
import { poll } from "../lib/live.js";
import { action, badge, empty, keyedRows, loading, table, tableRow, toast } from "../lib/ui.js";
import { frame, refused, tenantChoice } from "./settings-nav.js";

const EVERY_MS = 10_000;
const DAY_S = 86_400;
const COLUMNS = [["Name", "name"], ["Begins with"], ["Scope"], ["Last used"], ["Expires"], ["Created"], ["", "end"]];
const SCOPES = [["read", "Read: look and search"], ["write", "Write: also add, change and crawl"], ["admin", "Admin: also keys and usage"]];
const EXPIRY = [["", "Never"], ["7", "In 7 days"], ["30", "In 30 days"], ["90", "In 90 days"], ["365", "In a year"], ["other", "In so many days…"]];
const OLD_KEY = [["0", "At once"], ["3600", "In an hour"], ["86400", "In a day"], ["604800", "In a week"]];

export async function show({ root, query, signal, setTitle, setQuery }) {
  setTitle("API keys");
  let tenant = query.get("tenant") ?? "";
  const add = action("Create a key", create, { class: "primary" });
  const place = frame(root, "#/settings/keys", { title: "API keys", lead: "Who may ask this server, and for what.", actions: [add] });
  const whose = h("div");
  const body = h("div", null, loading());
  put(place, whose, body);
  const list = table("API keys", COLUMNS);
  const rows = keyedRows(list.body, keyRow);
  let built = false;

  const look = async () => {
    try {
      const { keys } = await get("/api/v2/admin/keys", { query: { tenant }, signal });
      if (keys.length === 0) {
        built = false;
        put(body, empty("No keys yet", "On its own machine Gleaner asks for none. Whoever asks from elsewhere needs one."));
        return;
      }
      if (!built) put(body, h("div", { class: "card flush" }, list.node));
      built = true;
      // What still works, newest first, then what does not.
      const ended = (key) => (key.revoked_at ? 1 : 0);
      rows(keys.sort((a, b) => ended(a) - ended(b) || b.id - a.id), (key) => key.id);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      add.hidden = error.status === 403;
      if (!built) put(body, refused(error, look));
      throw error;
    }
  };
  const again = poll(look, EVERY_MS, signal);
  put(whose, await tenantChoice(signal, tenant, (value) => {
    tenant = value;
    setQuery({ tenant });
    built = false;
    again();
  }));

  async function create() {
    const name = input("Name", { maxlength: 64, dir: "auto", placeholder: "Who or what uses it", "data-first": true });
    const scope = select("Scope", SCOPES, "read");
    const expires = select("Expires", EXPIRY, "90");
    const days = input("Days", { type: "number", min: 1, max: 3660, value: "14", inputmode: "numeric" });
    days.node.hidden = true;
    expires.control.addEventListener("change", () => {
      days.node.hidden = expires.control.value !== "other";
    });
    const made = await formDialog({
      title: "Create an API key",
      verb: "Create",
      body: [name.node, scope.node, expires.node, days.node],
      save: () => {
        const called = name.control.value.trim();
        if (!called) throw new Wrong("Give it a name, to know it again.", name.control);
        const chosen = expires.control.value === "other" ? days.control.value : expires.control.value;
        if (chosen !== "" && !/^[1-9]\d{0,3}$/.test(chosen)) throw new Wrong("Give a number of days, 1 to 3660.", days.control);
        const body = { name: called, scope: scope.control.value, ...(tenant && { tenant: Number(tenant) }) };
        if (chosen) body.valid_s = Number(chosen) * DAY_S;
        return send("POST", "/api/v2/admin/keys", { body });
      },
    });
    if (made) await shown(made);
  }

  async function shown({ api_key: secret, key }) {
    await again();
    await secretDialog({ title: `The key ${key.name}`, secret, note: "Copy it now: it is stored as a hash only, so nobody can show it again." });
  }

  function keyRow(key) {
    return tableRow(COLUMNS, [
      foreign(key.name, { class: "strong" }),
      h("code", { dir: "ltr" }, `${key.prefix}…`),
      badge(key.scope === "admin" ? "paused" : "new", key.scope),
      when(key.last_used_at, "never"),
      state(key),
      when(key.created_at),
      h("div", { class: "actions" }, !key.revoked_at && !over(key) && [
        action("Replace", () => rotate(key), { class: "small ghost", "aria-label": `Replace the key ${key.name}` }),
        action("Revoke", () => revoke(key), { class: "small ghost danger", "aria-label": `Revoke the key ${key.name}` }),
      ]),
    ]);
  }

  async function rotate(key) {
    const until = select("The old key stops working", OLD_KEY, "86400");
    const made = await formDialog({
      title: "Replace this key?",
      verb: "Replace",
      body: [h("p", null, foreign(key.name), " gets a new key of the same scope."), until.node],
      save: () => send("POST", `/api/v2/admin/keys/${key.id}/rotate`, { query: { tenant }, body: { old_valid_s: Number(until.control.value) } }),
    });
    if (made) await shown(made);
  }

  async function revoke(key) {
    const sure = await confirm({
      title: "Revoke this key?",
      verb: "Revoke",
      danger: true,
      body: h("p", null, "Whoever uses ", foreign(key.name), " is refused from now on. This cannot be undone."),
    });
    if (!sure) return;
    await send("DELETE", `/api/v2/admin/keys/${key.id}`, { query: { tenant } });
    toast(`The key ${key.name} is revoked.`);
    await again();
  }
}

function over(key) {
  return Boolean(key.expires_at) && Date.parse(key.expires_at) <= Date.now();
}

function state(key) {
  if (key.revoked_at) return h("span", null, badge("gone", "revoked"), " ", when(key.revoked_at));
  if (over(key)) return h("span", null, badge("gone", "expired"), " ", when(key.expires_at));
  return key.expires_at ? when(key.expires_at) : h("span", { class: "muted" }, "never");
}
