// Webhooks: who is told of what happens here.

import { get, send } from "../lib/api.js";
import { foreign, h, newId, put } from "../lib/dom.js";
import { formDialog, secretDialog } from "../lib/dialog.js";
import { Wrong, input } from "../lib/form.js";
import { count, host, milliseconds, path, when } from "../lib/format.js";
import { poll } from "../lib/live.js";
import { action, badge, empty, keyedRows, loading, table, tableRow, toast } from "../lib/ui.js";
import { frame, refused } from "./settings-nav.js";

const EVERY_MS = 4000;
const COLUMNS = [["Endpoint", "name"], ["Health"], ["Told of", "wide"], ["Waiting", "num"], ["Delivered", "num"], ["Given up", "num"], ["Last delivered", "end"]];
const EVENTS = [
  ["crawl.started", "A crawl begins"],
  ["crawl.finished", "A crawl ends"],
  ["page.added", "A page is new"],
  ["page.updated", "A page has changed"],
  ["page.removed", "A page is gone"],
  ["task.failed", "A task fails for good"],
  ["source.troubled", "A source is in trouble"],
  ["budget.warning", "Most of the day's tokens are used"],
  ["budget.exhausted", "The day's tokens are used up"],
];

export async function show({ root, signal, setTitle }) {
  setTitle("Webhooks");
  const add = action("Add a webhook", create, { class: "primary" });
  const body = frame(root, "#/settings/webhooks", { title: "Webhooks", lead: "Addresses that are told of what happens, by signed messages.", actions: [add] });
  put(body, loading());
  const list = table("Webhooks", COLUMNS);
  const rows = keyedRows(list.body, webhookRow);
  let built = false;
  const look = async () => {
    try {
      const { webhooks } = await get("/api/v2/webhooks", { signal });
      if (webhooks.length === 0) {
        built = false;
        put(body, empty("No webhooks yet", "Add the address of a program of yours, and it hears of crawls, pages and troubles as they come."));
        return;
      }
      if (!built) put(body, h("div", { class: "card flush" }, list.node));
      built = true;
      rows(webhooks, (one) => one.id);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      add.hidden = error.status === 403;
      if (!built) put(body, refused(error, look));
      throw error;
    }
  };
  const again = poll(look, EVERY_MS, signal);

  async function create() {
    const fields = webhookFields({ url: "", description: "", events: ["crawl.finished"] });
    const made = await formDialog({
      title: "Add a webhook",
      verb: "Add",
      wide: true,
      body: fields.nodes,
      save: () => send("POST", "/api/v2/webhooks", { body: fields.read() }),
    });
    if (!made) return;
    await again();
    await showSecret(made);
    window.location.hash = `#/settings/webhooks/${made.webhook.id}`;
  }
}

export function showSecret({ secret, webhook }) {
  return secretDialog({
    title: `Secret of ${host(webhook.url)}`,
    secret,
    note: "Its messages are signed with it. Copy it now: it is not shown again.",
  });
}

/** Address, what it is for, and what it is told of. */
export function webhookFields(webhook) {
  const url = input("Address", { type: "url", value: webhook.url, maxlength: 2048, dir: "ltr", placeholder: "With http or https", "data-first": true }, "Gets a POST for each message.");
  const description = input("What it is for", { value: webhook.description, maxlength: 200, dir: "auto" });
  const boxes = EVENTS.map(([event, label]) => {
    const control = h("input", { type: "checkbox", id: newId(), checked: webhook.events.includes(event) });
    return { event, control, node: h("p", { class: "check" }, control, h("label", { for: control.id }, label, h("code", { class: "hint" }, event))) };
  });
  const events = h("fieldset", { class: "pair" }, h("legend", null, "Told when"), boxes.map((box) => box.node));
  return {
    nodes: [url.node, description.node, events],
    read: () => {
      if (!/^https?:\/\/./.test(url.control.value.trim())) throw new Wrong("Give an address that begins with http or https.", url.control);
      const chosen = boxes.filter((box) => box.control.checked).map((box) => box.event);
      if (chosen.length === 0) throw new Wrong("Choose at least one kind of event.", boxes[0].control);
      return { url: url.control.value.trim(), description: description.control.value.trim(), events: chosen };
    },
  };
}

/** In a word, with the reason behind it. */
export function webhookHealth(webhook) {
  const told = (state, word, why) => h("span", { title: why }, badge(state, word));
  if (webhook.disabled_reason) return told("gone", "switched off", webhook.disabled_reason);
  if (!webhook.active) return told("paused", "paused", "Nothing is sent to it until it is resumed.");
  if (webhook.trouble) return told("failed", "in trouble", webhook.trouble);
  if (webhook.failures_in_a_row > 0) return told("failed", `${count(webhook.failures_in_a_row)} failed in a row`, "Attempts since the last success; it is tried again.");
  if (!webhook.last_delivered_at) return told("new", "not used yet", "Nothing has been sent to it.");
  return told("succeeded", "well", "The last message arrived.");
}

/** Sends a test and says how it went. */
export async function testWebhook(webhook) {
  const tested = await send("POST", `/api/v2/webhooks/${webhook.id}/test`);
  const status = tested.status ? `${tested.status} after ${milliseconds(tested.duration_ms)}` : `no answer after ${milliseconds(tested.duration_ms)}`;
  if (tested.delivered) toast(`The test arrived: ${status}.`);
  else toast(`The test did not arrive: ${tested.error ?? status}`, "error");
  return tested;
}

function webhookRow(webhook) {
  const { deliveries } = webhook;
  return tableRow(COLUMNS, [
    h("div", null,
      h("a", { href: `#/settings/webhooks/${webhook.id}`, class: "strong clip", dir: "ltr", title: webhook.url }, host(webhook.url) + path(webhook.url)),
      webhook.description && h("p", { class: "note" }, foreign(webhook.description))),
    webhookHealth(webhook),
    h("span", { class: "note", dir: "ltr" }, webhook.events.length === EVENTS.length ? "everything" : webhook.events.join(", ")),
    count(deliveries.pending),
    count(deliveries.delivered),
    count(deliveries.dead),
    when(webhook.last_delivered_at, "never"),
  ]);
}
