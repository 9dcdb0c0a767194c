// Numbers, times and sizes for people.

import { h } from "./dom.js";

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
const moment = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "medium" });

export const NONE = "–";

export function count(n) {
  return Number.isFinite(n) ? whole.format(n) : NONE;
}

/** "1 page", "2,000 pages" */
export function counted(n, one, many = `${one}s`) {
  return `${count(n)} ${n === 1 ? one : many}`;
}

export function rate(n) {
  if (!Number.isFinite(n)) return NONE;
  return n < 10 ? n.toFixed(1) : count(n);
}

export function percent(share) {
  if (!Number.isFinite(share)) return NONE;
  const value = share * 100;
  return `${value > 0 && value < 1 ? value.toFixed(1) : Math.round(value)} %`;
}

/** Small sums by their first figures. */
export function money(sum) {
  return sum > 0 && sum < 0.1 ? sum.toPrecision(2) : sum.toFixed(2);
}

export function milliseconds(ms) {
  if (!Number.isFinite(ms)) return NONE;
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

export function bytes(n) {
  if (!Number.isFinite(n)) return NONE;
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  let value = n;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit > 0 && value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

const UNITS = [
  ["d", 86400],
  ["h", 3600],
  ["min", 60],
  ["s", 1],
];

/** "6 h", "1 d 12 h", "45 s" */
export function seconds(total) {
  if (!Number.isFinite(total)) return NONE;
  let rest = Math.round(total);
  if (rest < 1) return "0 s";
  const parts = [];
  for (const [name, size] of UNITS) {
    const n = Math.floor(rest / size);
    rest -= n * size;
    if (n > 0) parts.push(`${n} ${name}`);
    else if (parts.length) break;
    if (parts.length === 2) break;
  }
  return parts.join(" ");
}

/** "6h", "90m", "1d 12h" in seconds; null when it is none of these. */
export function parseSeconds(text) {
  const sizes = { s: 1, m: 60, min: 60, h: 3600, d: 86400, w: 604800 };
  let total = 0;
  const rest = text.trim().toLowerCase().replace(/(\d+(?:\.\d+)?)\s*(min|[smhdw])\s*/g, (_, n, unit) => {
    total += Number(n) * sizes[unit];
    return "";
  });
  return rest === "" && total > 0 ? Math.round(total) : null;
}

/** As parseSeconds reads it. */
export function shortSeconds(total) {
  return seconds(total).replace(/ (d|h|s)/g, "$1").replace(/ min/g, "m");
}

export function ago(iso) {
  if (!iso) return NONE;
  const away = (Date.parse(iso) - Date.now()) / 1000;
  const size = Math.abs(away);
  if (size < 5) return away > 0 ? "in a moment" : "just now";
  const [unit, length] =
    size < 60 ? ["second", 1]
    : size < 3600 ? ["minute", 60]
    : size < 86400 ? ["hour", 3600]
    : size < 86400 * 45 ? ["day", 86400]
    : size < 86400 * 700 ? ["month", 86400 * 30.4]
    : ["year", 86400 * 365.25];
  return relative.format(Math.round(away / length), unit);
}

export function exactly(iso) {
  return iso ? moment.format(new Date(iso)) : "";
}

/** A time told by distance; the exact one on hover and to machines. */
export function when(iso, none = NONE) {
  if (!iso) return h("span", { class: "muted" }, none);
  return h("time", { datetime: iso, title: exactly(iso) }, ago(iso));
}

export function day(iso) {
  return iso ? new Intl.DateTimeFormat("en", { dateStyle: "medium" }).format(new Date(iso)) : "";
}

export function host(url) {
  try {
    return new URL(url).host;
  } catch {
    return url;
  }
}

/** Path and query: what tells pages of one host apart. */
export function path(url) {
  try {
    const { pathname, search } = new URL(url);
    return decodeURI(pathname) + search;
  } catch {
    return url;
  }
}

export function language(code) {
  if (!code) return "";
  try {
    return new Intl.DisplayNames("en", { type: "language" }).of(code);
  } catch {
    return code;
  }
}

const RTL = new Set(["ar", "arc", "ckb", "dv", "fa", "he", "ku", "ps", "sd", "ug", "ur", "yi"]);

/** Of a text with parts of its own directions: that of its first letter. */
export function directionOf(text) {
  const letter = /\p{L}/u.exec(text);
  return letter && /[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}]/u.test(letter[0]) ? "rtl" : "ltr";
}

/** Of a whole page: its first words may be in another script. */
export function direction(code) {
  if (!code) return "auto";
  return RTL.has(code.split("-")[0]) ? "rtl" : "ltr";
}
