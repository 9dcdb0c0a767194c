// The facts of a record, as people would write them.

import { foreign, h } from "./dom.js";
import { day, language, when } from "./format.js";

export const KINDS = [["job", "Jobs"], ["product", "Products"], ["news", "News"]];
const KIND = { job: "Job", product: "Product", news: "Article" };
const EMPLOYMENT = { full_time: "Full time", part_time: "Part time", contractor: "Contractor", temporary: "Temporary", intern: "Internship", volunteer: "Volunteer", per_diem: "Per diem", other: "Other" };
const AVAILABILITY = { in_stock: "In stock", limited: "Few left", pre_order: "Pre-order", back_order: "Back-order", out_of_stock: "Out of stock", discontinued: "Discontinued" };
/** The badge's colour. */
const AVAILABLE = { in_stock: "added", limited: "skipped", pre_order: "updated", back_order: "updated", out_of_stock: "failed", discontinued: "" };
const FACTS = {
  kind: "Kind",
  source: "Source",
  host: "Host",
  lang: "Language",
  category: "Category",
  brand: "Brand",
  company: "Company",
  location: "Place",
  employment_type: "Employment",
  remote: "Remote",
  availability: "Availability",
  currency: "Currency",
  author: "Author",
  skill: "Skill",
};

export function factName(name) {
  return FACTS[name] ?? name;
}

/** A value of a facet for people; `sources` are all there are. */
export function factValue(name, value, sources) {
  switch (name) {
    case "kind":
      return KIND[value] ?? value;
    case "source":
      return sources?.find((source) => String(source.id) === value)?.name ?? `Source ${value}`;
    case "lang":
      return language(value) || value;
    case "employment_type":
      return EMPLOYMENT[value] ?? value.replaceAll("_", " ");
    case "remote":
      return value === "true" ? "Yes" : "No";
    case "availability":
      return AVAILABILITY[value] ?? value;
    default:
      return value;
  }
}

/** A currency that the browser does not know stands before the figure as it is. */
function formatter(currency, amounts) {
  const digits = { minimumFractionDigits: amounts.every(Number.isInteger) ? 0 : 2, maximumFractionDigits: 2 };
  if (!currency) return new Intl.NumberFormat("en", digits);
  try {
    return new Intl.NumberFormat("en", { style: "currency", currency, ...digits });
  } catch {
    const plain = new Intl.NumberFormat("en", digits);
    return { format: (amount) => `${currency} ${plain.format(amount)}` };
  }
}

export function price({ price: amount, currency }) {
  return Number.isFinite(amount) ? formatter(currency, [amount]).format(amount) : "";
}

export function salary({ salary_min: min, salary_max: max, salary_currency: currency, salary_period: period }) {
  const amounts = [min, max].filter(Number.isFinite);
  if (amounts.length === 0) return "";
  const { format } = formatter(currency, amounts);
  const least = format(amounts[0]);
  const text = amounts.length === 2 && min !== max ? `${least} – ${format(max)}` : amounts.length === 2 ? least : Number.isFinite(min) ? `from ${least}` : `up to ${least}`;
  return period ? `${text} a ${period}` : text;
}

function isPast(iso) {
  return Date.parse(iso) < Date.now();
}

export function ends(record) {
  if (!record.expires_at) return null;
  const past = isPast(record.expires_at);
  const verb = record.kind === "job" ? ["closes", "closed"] : ["ends", "ended"];
  return h("span", { dir: "ltr", class: past ? "bad" : null }, verb[Number(past)], " ", when(record.expires_at));
}

export function availability({ availability: state }) {
  return state && h("span", { class: `badge ${AVAILABLE[state] ?? ""}` }, AVAILABILITY[state] ?? state);
}

function published(iso) {
  return iso && h("time", { datetime: iso, "data-day": "yes" }, day(iso));
}

/** What stands under a record's name: the most telling facts of its kind. */
export function line(record) {
  const text = (value) => value && foreign(value);
  const remote = record.remote && h("span", { class: "badge updated" }, "Remote");
  const employment = record.employment_type && factValue("employment_type", record.employment_type);
  switch (record.kind) {
    case "job":
      return [text(record.company), text(record.location), remote, employment && foreign(employment), text(record.category), published(record.published_at), ends(record)];
    case "product":
      return [text(record.brand), text(record.category), availability(record), ends(record)];
    default:
      return [text(record.author), text(record.category), published(record.published_at), ends(record)];
  }
}

/** What it costs or pays. */
export function figure(record) {
  return record.kind === "job" ? salary(record) : price(record);
}

/** All that is known, for a list of facts. */
export function allFacts(record) {
  const text = (value) => value && foreign(value);
  return [
    ["Kind", KIND[record.kind] ?? record.kind],
    ["Name", text(record.name)],
    ["Company", text(record.company)],
    ["Place", text(record.location)],
    ["Remote", record.remote === undefined ? null : record.remote ? "Yes" : "No"],
    ["Employment", record.employment_type && foreign(factValue("employment_type", record.employment_type))],
    ["Pay", salary(record)],
    ["Price", price(record)],
    ["Availability", availability(record)],
    ["Brand", text(record.brand)],
    ["Category", text(record.category)],
    ["Article number", text(record.sku)],
    ["Author", text(record.author)],
    [record.kind === "job" ? "Posted" : "Published", published(record.published_at)],
    [record.kind === "job" ? "Closes" : "Ends", record.expires_at && h("span", { class: isPast(record.expires_at) ? "bad" : null }, when(record.expires_at))],
  ];
}

export function skills(list, most = Infinity) {
  if (list.length === 0) return null;
  const shown = list.slice(0, most);
  return h("ul", { class: "keywords", "aria-label": "Skills" }, shown.map((skill) => h("li", { dir: "auto" }, skill)), list.length > most && h("li", { dir: "ltr" }, `+${list.length - most}`));
}
