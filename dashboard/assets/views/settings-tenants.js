// Tenants: who shares this server, and what each may have.

import { get, send } from "../lib/api.js";
import { h, put } from "../lib/dom.js";
import { confirm, formDialog } from "../lib/dialog.js";
import { Wrong, input, whole } from "../lib/form.js";
import { count, when } from "../lib/format.js";
import { poll } from "../lib/live.js";
import { action, badge, keyedRows, loading, table, tableRow, toast } from "../lib/ui.js";
import { frame, refused } from "./settings-nav.js";

const EVERY_MS = 5000;
const COLUMNS = [["Name", "name"], ["State"], ["Pages", "num"], ["Sources", "num"], ["Tasks", "num"], ["Limits", "wide"], ["Created"], ["", "end"]];
/** The default one, that runs the service: cannot be shut out. */
const DEFAULT = 1;
/** Name in the API, label, hint, least value. */
const QUOTAS = [
  ["pages_max", "Live pages", "Crawls skip new pages beyond it.", 0],
  ["sources_max", "Sources", "", 0],
  ["requests_per_minute", "Requests a minute", "Of each key.", 1],
  ["tokens_per_day", "Tokens a day", "", 0],
  ["tasks_running_max", "Tasks at a time", "", 1],
];

export async function show({ root, signal, setTitle }) {
  setTitle("Tenants");
  const add = action("Create a tenant", create, { class: "primary" });
  const body = frame(root, "#/settings/tenants", { title: "Tenants", lead: "Each sees its own sources, pages and tasks, and nothing of the others.", actions: [add] });
  put(body, loading());
  const list = table("Tenants", COLUMNS);
  const rows = keyedRows(list.body, tenantRow);
  let built = false;
  const look = async () => {
    try {
      const { tenants } = await get("/api/v2/admin/tenants", { signal });
      if (!built) put(body, h("div", { class: "card flush" }, list.node));
      built = true;
      rows(tenants, (one) => one.id);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      add.hidden = error.status === 403;
      if (!built) put(body, refused(error, look));
      throw error;
    }
  };
  const again = poll(look, EVERY_MS, signal);

  async function create() {
    const name = input("Name", { maxlength: 64, dir: "ltr", autocapitalize: "none", "data-first": true }, "Small letters, digits and hyphens.");
    const quota = quotaFields({});
    const made = await formDialog({
      title: "Create a tenant",
      verb: "Create",
      body: [name.node, h("fieldset", { class: "pair" }, h("legend", null, "Limits; empty for none"), quota.nodes)],
      save: () => {
        if (!/^[a-z0-9-]{1,64}$/.test(name.control.value)) throw new Wrong("A name has 1 to 64 small letters, digits and hyphens.", name.control);
        return send("POST", "/api/v2/admin/tenants", { body: { name: name.control.value, quota: quota.read() } });
      },
    });
    if (!made) return;
    toast(`The tenant ${made.name} is there. It needs a key.`);
    window.location.hash = `#/settings/keys?tenant=${made.id}`;
  }

  async function edit(tenant) {
    const quota = quotaFields(tenant.quota);
    const made = await formDialog({
      title: `Limits of ${tenant.name}`,
      verb: "Save",
      body: h("fieldset", { class: "pair" }, h("legend", null, "Empty for no limit"), quota.nodes),
      save: () => send("PATCH", `/api/v2/admin/tenants/${tenant.id}`, { body: { quota: quota.read() } }),
    });
    if (made) {
      toast("Saved.");
      await again();
    }
  }

  async function toggle(tenant) {
    if (tenant.active) {
      const sure = await confirm({
        title: "Shut this tenant out?",
        verb: "Shut out",
        keep: "Leave it",
        danger: true,
        body: h("p", null, `The keys of ${tenant.name} open nothing, and its sources are not crawled, until you let it in again. Nothing is deleted.`),
      });
      if (!sure) return;
    }
    await send("PATCH", `/api/v2/admin/tenants/${tenant.id}`, { body: { active: !tenant.active } });
    await again();
  }

  function tenantRow(tenant) {
    const { has, quota } = tenant;
    const of = (n, most) => h("span", null, count(n), most !== null && h("span", { class: "muted" }, ` / ${count(most)}`));
    const limits = QUOTAS.filter(([name]) => quota[name] !== null).map(([name, label]) => `${label.toLowerCase()} ${count(quota[name])}`);
    return tableRow(COLUMNS, [
      h("span", { class: "strong", dir: "ltr" }, tenant.name),
      badge(tenant.active ? "succeeded" : "gone", tenant.active ? "active" : "shut out"),
      of(has.pages_live, quota.pages_max),
      of(has.sources, quota.sources_max),
      h("span", { title: "running and waiting" }, `${count(has.tasks_running)} + ${count(has.tasks_queued)}`),
      h("span", { class: limits.length ? "note" : "muted" }, limits.join(", ") || "none"),
      when(tenant.created_at),
      h("div", { class: "actions" },
        action("Limits", () => edit(tenant), { class: "small ghost", "aria-label": `Limits of ${tenant.name}` }),
        h("a", { class: "button small ghost", href: `#/settings/keys?tenant=${tenant.id}`, "aria-label": `Keys of ${tenant.name}` }, "Keys"),
        tenant.id !== DEFAULT && action(tenant.active ? "Shut out" : "Let in", () => toggle(tenant), { class: `small ghost${tenant.active ? " danger" : ""}`, "aria-label": `${tenant.active ? "Shut out" : "Let in"} ${tenant.name}` })),
    ]);
  }
}

function quotaFields(quota) {
  const fields = QUOTAS.map(([name, label, hint, min]) => {
    const field = input(label, { type: "number", min, inputmode: "numeric", value: quota[name] ?? "", placeholder: "No limit" }, hint);
    return { name, min, ...field };
  });
  return {
    nodes: fields.map((field) => field.node),
    read: () => Object.fromEntries(fields.map((field) => [field.name, whole(field, field)])),
  };
}
