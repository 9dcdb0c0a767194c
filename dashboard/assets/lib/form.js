// Labelled fields.

import { h, newId } from "./dom.js";

/** What is wrong with a field, for whoever fills it in. */
export class Wrong extends Error {
  constructor(message, control) {
    super(message);
    this.field = control;
  }
}

export function labelled(label, control, hint) {
  control.id ||= newId();
  const hintId = newId();
  if (hint) control.setAttribute("aria-describedby", hintId);
  const node = h("div", { class: "field" }, h("label", { for: control.id }, label), control, hint && h("p", { class: "hint", id: hintId }, hint));
  return { node, control };
}

export function input(label, props, hint) {
  return labelled(label, h("input", { type: "text", spellcheck: "false", autocomplete: "off", ...props }), hint);
}

export function area(label, props, hint) {
  return labelled(label, h("textarea", { spellcheck: "false", ...props }), hint);
}

export function select(label, options, value, hint) {
  const control = h("select", null, options.map(([code, name]) => h("option", { value: code }, name)));
  control.value = value;
  return labelled(label, control, hint);
}

/** A box to tick, its label behind it. */
export function check(label, props, hint) {
  const control = h("input", { type: "checkbox", id: newId(), ...props });
  const node = h("p", { class: "check" }, control, h("label", { for: control.id }, label, hint && h("span", { class: "hint" }, hint)));
  return { node, control };
}

/** The whole number in a field; null when it is empty. */
export function whole({ control }, { min = 0 } = {}) {
  const { value } = control;
  if (control.validity.badInput || (value !== "" && !/^\d+$/.test(value))) {
    throw new Wrong("This is a whole number.", control);
  }
  if (value !== "" && Number(value) < min) throw new Wrong(`This is at least ${min}.`, control);
  return value === "" ? null : Number(value);
}
