// Dialogs. The browser keeps the focus inside them and gives it back after.

import { h, newId, put } from "./dom.js";
import { action } from "./ui.js";

/**
 * Shows a dialog. `build(close)` gives what is below its title. Resolves to
 * what `close` was called with, or to null when it was only left.
 */
export function openDialog({ title, build, wide }) {
  return new Promise((resolve) => {
    const name = newId();
    let answer = null;
    const close = (value = null) => {
      answer = value;
      dialog.close();
    };
    const content = build(close);
    const dialog = h("dialog", { "aria-labelledby": name, class: wide && "wide" }, h("h2", { id: name, tabindex: "-1" }, title), content);
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(answer);
    });
    // Leaving a view by the browser's back button leaves its dialog, too.
    window.addEventListener("hashchange", () => dialog.close(), { once: true });
    document.body.append(dialog);
    dialog.showModal();
    (dialog.querySelector("[data-first]") ?? dialog.querySelector("h2")).focus();
  });
}

/** Asks before something is done; `body` may hold choices. Resolves to them as FormData, or null. */
export function confirm({ title, body, verb, keep = "Keep it", danger }) {
  return openDialog({
    title,
    build: (close) => {
      const no = h("button", { type: "button", class: "ghost", "data-first": true, on: { click: () => close() } }, keep);
      const yes = h("button", { type: "submit", class: danger ? "danger" : "primary" }, verb);
      const form = h("form", null, body, h("p", { class: "actions" }, no, yes));
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        close(new FormData(form));
      });
      return form;
    },
  });
}

/** A form in a dialog. What `save()` is refused with is said there, and it stays open. */
export function formDialog({ title, body, verb, save, wide }) {
  return openDialog({
    title,
    wide,
    build: (close) => {
      const alert = h("p", { class: "form-problem", role: "alert" });
      const submit = h("button", { type: "submit", class: "primary" }, verb);
      const cancel = h("button", { type: "button", class: "ghost", on: { click: () => close() } }, "Cancel");
      const form = h("form", { novalidate: true }, body, alert, h("p", { class: "actions" }, cancel, submit));
      form.addEventListener("submit", async (event) => {
        event.preventDefault();
        if (submit.getAttribute("aria-busy") === "true") return;
        submit.setAttribute("aria-busy", "true");
        put(alert);
        try {
          close((await save()) ?? true);
        } catch (error) {
          if (error.status === undefined && !error.field) console.error(error);
          put(alert, h("span", { dir: "auto" }, error.message));
          (error.field ?? form.querySelector("input, select, textarea"))?.focus();
        } finally {
          submit.removeAttribute("aria-busy");
        }
      });
      return form;
    },
  });
}

/** Something that is shown this once, to be copied. */
export function secretDialog({ title, secret, note }) {
  return openDialog({
    title,
    build: (close) => {
      const field = h("input", { type: "text", readonly: true, value: secret, class: "secret", "aria-label": title, dir: "ltr", spellcheck: "false", "data-first": true });
      field.addEventListener("focus", () => field.select());
      const told = h("p", { class: "hint", role: "status" });
      const copy = action("Copy", async () => {
        try {
          await navigator.clipboard.writeText(secret);
          put(told, "Copied.");
        } catch {
          // Only secure origins may write to it.
          field.focus();
          put(told, "This browser does not let the page copy. It is selected: press Ctrl+C.");
        }
      }, { class: "primary" });
      return h(
        "div",
        { class: "secret-box" },
        h("p", null, note),
        h("div", { class: "row" }, field, copy),
        told,
        h("p", { class: "actions" }, h("button", { type: "button", on: { click: () => close(true) } }, "I have it")),
      );
    },
  });
}
