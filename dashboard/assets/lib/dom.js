// Builds DOM nodes. Text is only ever set as text: what is shown here was
// written by strangers, and there is no way to pass markup in.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, props, children) {
  // Children first: an element with dir="auto" looks through all it has each
  // time that something is added.
  append(node, children);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    } else if (name === "class") {
      node.setAttribute("class", value);
    } else if (["value", "checked", "selected", "disabled", "open"].includes(name)) {
      node[name] = value;
    } else if (/^on|^style$|^srcdoc$/i.test(name)) {
      throw new Error(`bug: ${name} is not set as an attribute here`);
    } else {
      node.setAttribute(name, value === true ? "" : value);
    }
  }
  return node;
}

function append(node, children) {
  for (const child of children) {
    if (child === undefined || child === null || child === false) continue;
    if (Array.isArray(child)) append(node, child);
    else node.append(child instanceof Node ? child : String(child));
  }
}

/** h("p", {class: "note"}, "text", node, [more]) */
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** The same for SVG. */
export function s(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

/** Replaces what a node holds. */
export function put(node, ...children) {
  node.replaceChildren();
  append(node, children);
  return node;
}

/** Sets text only when it is another: less work, and no needless announcements. */
export function say(node, text) {
  const next = String(text ?? "");
  if (node.textContent !== next) node.textContent = next;
}

/** Text of a page, whose direction is its own. */
export function foreign(text, props) {
  return h("bdi", { dir: "auto", ...props }, text);
}

/** A link out of the dashboard: http and https only, anything else stays text. */
export function outside(url, label, props) {
  const target = webAddress(url);
  if (!target) return h("span", props, label ?? url);
  return h(
    "a",
    { href: target, target: "_blank", rel: "noopener noreferrer nofollow", ...props },
    label ?? url,
  );
}

function webAddress(url) {
  try {
    const parsed = new URL(url);
    return ["http:", "https:"].includes(parsed.protocol) ? parsed.href : null;
  } catch {
    return null;
  }
}

let ids = 0;
/** An id for label and control. */
export function newId() {
  ids += 1;
  return `i${ids}`;
}
