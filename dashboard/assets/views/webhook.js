// One webhook: how it does, what was sent to it, and what can be done.

import { get, send } from "../lib/api.js";
import { foreign, h, newId, put } from "../lib/dom.js";
import { confirm, formDialog } from "../lib/dialog.js";
import { count, counted, host, milliseconds, when } from "../lib/format.js";
import { poll } from "../lib/live.js";
import { liveList } from "../lib/live-list.js";
import { action, badge, empty, facts, loading, problem, tableRow, toast } from "../lib/ui.js";
import { frame } from "./settings-nav.js";
import { showSecret, testWebhook, webhookFields, webhookHealth } from "./webhooks.js";

const EVERY_MS = 3000;
const COLUMNS = [["Message", "name"], ["State"], ["Answer", "wide"], ["Tries", "num"], ["Made"], ["", "end"]];
const STATES = [["", "Any"], ["pending", "Waiting"], ["delivered", "Delivered"], ["dead", "Given up"]];
const BADGES = { pending: ["queued", "waiting"], delivered: ["succeeded", "delivered"], dead: ["dead", "given up"] };

export async function show({ root, id, query, signal, setTitle, setQuery }) {
  setTitle("Webhook");
  const base = `/api/v2/webhooks/${id}`;
  const filters = { state: query.get("state") ?? "" };
  const buttons = h("div", { class: "actions" });
  const place = frame(root, "#/settings/webhooks", { title: "Webhook", actions: [buttons] });
  const about = h("div", null, loading());
  let webhook = null;
  let drawn = "";

  const look = async () => {
    try {
      webhook = await get(base, { signal });
    } catch (error) {
      if (error.name !== "AbortError" && (!drawn || error.status === 404)) put(place, problem(error, look));
      throw error;
    }
    draw();
  };

  function draw() {
    const text = JSON.stringify(webhook);
    if (text === drawn) return;
    const before = drawn && JSON.parse(drawn);
    drawn = text;
    setTitle(host(webhook.url));
    root.querySelector("h1").textContent = host(webhook.url);
    put(about, card());
    // Buttons only when they change: the focus stays where it is.
    if (!before || before.active !== webhook.active) put(buttons, actions());
  }

  function card() {
    const wrong = webhook.disabled_reason ?? webhook.trouble;
    return [
      wrong && h("div", { class: "card warning", role: "note" }, h("strong", null, webhook.disabled_reason ? "Switched off: " : "In trouble: "), foreign(wrong)),
      h("section", { class: "card", "aria-label": "About this webhook" },
        facts([
          ["Health", webhookHealth(webhook)],
          ["Address", h("span", { dir: "ltr", class: "break" }, webhook.url)],
          ["For", webhook.description && foreign(webhook.description)],
          ["Told of", webhook.events.join(", ")],
          ["Last delivered", when(webhook.last_delivered_at, "never")],
          ["Last failed", webhook.last_failed_at && when(webhook.last_failed_at)],
          ["Messages", `${count(webhook.deliveries.delivered)} delivered, ${count(webhook.deliveries.pending)} waiting, ${count(webhook.deliveries.dead)} given up`],
          ["Old secret signs until", webhook.old_secret_until && when(webhook.old_secret_until)],
          ["Added", when(webhook.created_at)],
        ])),
    ];
  }

  function actions() {
    return [
      action("Send a test", async () => {
        await testWebhook(webhook);
        await again();
      }, { class: "primary" }),
      action("Edit", edit),
      action(webhook.active ? "Pause" : "Resume", async () => {
        webhook = await send("PATCH", base, { body: { active: !webhook.active } });
        toast(webhook.active ? "It is told again; what waited is sent." : "Nothing is sent to it until you resume it.");
        draw();
        buttons.querySelectorAll("button")[2]?.focus();
      }),
      action("New secret", rotate),
      action("Remove", remove, { class: "danger ghost" }),
    ];
  }

  async function edit() {
    const fields = webhookFields(webhook);
    const changed = await formDialog({
      title: "Edit this webhook",
      verb: "Save",
      wide: true,
      body: fields.nodes,
      save: () => send("PATCH", base, { body: fields.read() }),
    });
    if (!changed) return;
    webhook = changed;
    toast("Saved.");
    draw();
  }

  async function rotate() {
    const sure = await confirm({
      title: "Make a new secret?",
      verb: "Make it",
      body: h("p", null, "Messages are signed with the old one as well for 24 hours, so that you have time to change it on the other side."),
    });
    if (sure) await showSecret(await send("POST", `${base}/rotate`));
  }

  async function remove() {
    const sure = await confirm({
      title: "Remove this webhook?",
      verb: "Remove",
      danger: true,
      body: h("p", null, "What waits for it is not sent any more. This cannot be undone."),
    });
    if (!sure) return;
    await send("DELETE", base);
    toast("Removed.");
    window.location.hash = "#/settings/webhooks";
  }

  const state = h("select", { id: newId() }, STATES.map(([value, text]) => h("option", { value }, text)));
  state.value = filters.state;
  state.addEventListener("change", () => {
    filters.state = state.value;
    setQuery(filters);
    list.reset();
  });
  const retryAll = action("Send all given up again", async () => {
    const { retried } = await send("POST", `${base}/deliveries/retry`);
    toast(retried > 0 ? `${counted(retried, "message")} will be sent again.` : "Nothing was given up, or its events are kept no longer.");
    await list.again();
  });
  const list = liveList({
    caption: "Messages, newest first",
    columns: COLUMNS,
    row: (one) => deliveryRow(base, one, () => list.again()),
    read: async ({ limit, after }) => {
      const answer = await get(`${base}/deliveries`, { query: { ...filters, limit, cursor: after }, signal });
      return { items: answer.deliveries, next: answer.next };
    },
    nothing: () => (filters.state ? empty("No message matches", "Take the filter away to see more.") : empty("Nothing sent yet", "Messages are listed here once something has happened that it is told of.")),
    every_ms: EVERY_MS,
    signal,
  });
  put(
    place,
    about,
    h("section", { "aria-label": "Messages" },
      h("h2", null, "Messages"),
      h("div", { class: "filters list-tools" }, h("div", { class: "field" }, h("label", { for: state.id }, "State"), state), retryAll),
      list.node),
  );
  const again = poll(look, EVERY_MS, signal);
}

function deliveryRow(base, one, again) {
  const [kind, word] = BADGES[one.state] ?? ["new", one.state];
  const answer = [
    one.status && h("span", { class: one.status < 300 ? "" : "bad" }, `${one.status} `),
    one.duration_ms !== null && h("span", { class: "note" }, `after ${milliseconds(one.duration_ms)}`),
    one.error && one.state !== "delivered" && h("p", { class: "note clip2 bad", dir: "auto" }, one.error),
    one.response && h("details", null, h("summary", null, "What it answered"), h("pre", { dir: "auto", tabindex: "0", role: "group", "aria-label": "What it answered" }, one.response)),
  ];
  return tableRow(COLUMNS, [
    h("div", null,
      h("span", { class: "strong", dir: "ltr" }, one.events.join(", ")),
      h("p", { class: "note" }, counted(one.event_count, "event"), one.source_id !== null && [" of ", h("a", { href: `#/sources/${one.source_id}` }, `source ${one.source_id}`)])),
    h("span", null, badge(kind, word), one.state === "pending" && one.next_at && one.attempts > 0 && h("span", { class: "note" }, " again ", when(one.next_at))),
    h("div", null, answer),
    count(one.attempts),
    when(one.created_at),
    h("div", { class: "actions" }, one.state !== "delivered" && action(one.state === "dead" ? "Send again" : "Send now", async () => {
      await send("POST", `${base}/deliveries/${one.id}/retry`);
      toast("It is sent again.");
      await again();
    }, { class: "small", "aria-label": `Send message ${one.id} again` })),
  ]);
}
