// Small plots of a figure over time.

import { h, put, s, say } from "./dom.js";

const WIDTH = 300;
const HEIGHT = 64;
/** Points kept: an hour at one every five seconds. The first few have the
 *  whole width, so that there is something to see at once. */
const POINTS = 720;
const POINTS_MIN = 30;

/**
 * A named line with its newest value. `add(value)` adds a point; series of
 * several lines take an array; `fill(values)` shows these alone. `text` says a
 * value in words. Where a value is null, the line has a gap. `top` is the most
 * that there can be, when that is known.
 */
export function plot({ title, text, lines = [""], top: most }) {
  const points = lines.map(() => []);
  const now = h("strong", { class: "figure" }, "–");
  const peak = h("span", { class: "muted" });
  const shape = s("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    preserveAspectRatio: "none",
    class: "plot",
    "aria-hidden": "true",
  });
  const legend =
    lines.length > 1 &&
    h("span", { class: "legend" }, lines.map((name, n) => h("span", { class: `key line-${n}` }, name)));
  const node = h(
    "figure",
    { class: "card plot-card" },
    h("figcaption", null, h("span", null, title), legend),
    h("div", { class: "plot-now" }, now, peak),
    shape,
  );

  function keep(value) {
    const values = Array.isArray(value) ? value : [value];
    values.forEach((one, n) => {
      points[n].push(one === null ? null : Number.isFinite(one) ? one : 0);
      if (points[n].length > POINTS) points[n].shift();
    });
  }

  function add(value) {
    keep(value);
    show();
  }

  function fill(values) {
    for (const line of points) line.length = 0;
    values.forEach(keep);
    show();
  }

  function show() {
    const top = Math.max(0, ...points.flat());
    const newest = points.map((line) => line[line.length - 1] ?? Number.NaN);
    say(now, newest.map(text).join(" / "));
    say(peak, top > 0 && !most ? `peak ${text(top)}` : "");
    draw(most ?? top);
  }

  function draw(top) {
    // A flat line at the bottom means zero, not "whatever the scale is".
    const scale = top > 0 ? (HEIGHT - 6) / top : 0;
    const step = WIDTH / (Math.max(points[0].length, POINTS_MIN) - 1);
    const x = (n, length) => WIDTH - (length - 1 - n) * step;
    const y = (value) => HEIGHT - 2 - value * scale;
    const parts = [
      s("line", { x1: 0, x2: WIDTH, y1: HEIGHT - 2, y2: HEIGHT - 2, class: "axis" }),
    ];
    points.forEach((values, line) => {
      for (const [from, run] of runs(values)) {
        const at = (n) => x(from + n, values.length).toFixed(1);
        const path = run.map((value, n) => `${at(n)},${y(value).toFixed(1)}`);
        // A value that stands alone is seen as well.
        if (path.length === 1) path.push(`${x(from + 1, values.length).toFixed(1)},${y(run[0]).toFixed(1)}`);
        if (line === 0 && run.length > 1) {
          const area = `${at(0)},${HEIGHT - 2} ${path.join(" ")} ${at(run.length - 1)},${HEIGHT - 2}`;
          parts.push(s("polygon", { points: area, class: "area" }));
        }
        parts.push(
          s("polyline", {
            points: path.join(" "),
            class: `line line-${line}`,
            "vector-effect": "non-scaling-stroke",
          }),
        );
      }
    });
    put(shape, parts);
  }

  return { node, add, fill };
}

/** Stretches without a gap, each with where it begins. */
function* runs(values) {
  let from = 0;
  while (from < values.length) {
    let end = from;
    while (end < values.length && values[end] !== null) end += 1;
    if (end > from) yield [from, values.slice(from, end)];
    from = end + 1;
  }
}
