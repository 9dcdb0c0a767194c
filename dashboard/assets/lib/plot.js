// Small plots of a figure over the time that a page is open.

import { h, put, s, say } from "./dom.js";

const WIDTH = 300;
const HEIGHT = 64;
/** Points kept: five minutes at one every two seconds. The first minute has
 *  the whole width, so that there is something to see at once. */
const POINTS = 150;
const POINTS_MIN = 30;

/**
 * A named line with its newest value. `add(value)` adds a point; series of
 * several lines take an array. `text` says a value in words.
 */
export function plot({ title, text, lines = [""] }) {
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

  function add(value) {
    const values = Array.isArray(value) ? value : [value];
    values.forEach((one, n) => {
      points[n].push(Number.isFinite(one) ? one : 0);
      if (points[n].length > POINTS) points[n].shift();
    });
    const top = Math.max(...points.flat());
    say(now, values.map(text).join(" / "));
    say(peak, top > 0 ? `peak ${text(top)}` : "");
    draw(top);
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
      const path = values.map((value, n) => `${x(n, values.length).toFixed(1)},${y(value).toFixed(1)}`);
      if (line === 0 && values.length > 1) {
        const left = x(0, values.length).toFixed(1);
        const area = `${left},${HEIGHT - 2} ${path.join(" ")} ${WIDTH},${HEIGHT - 2}`;
        parts.push(s("polygon", { points: area, class: "area" }));
      }
      parts.push(
        s("polyline", {
          points: path.join(" "),
          class: `line line-${line}`,
          "vector-effect": "non-scaling-stroke",
        }),
      );
    });
    put(shape, parts);
  }

  return { node, add };
}
