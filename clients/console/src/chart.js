// Lines over time. Drawn by uPlot on a canvas; what it shows is also said in words, for whoever does not see it.

import uPlot from "uplot";
import { useEffect, useRef } from "preact/hooks";
import { html, short } from "./ui.js";

const COLOURS = ["--line-1", "--line-2", "--line-3", "--line-4"];
const HEIGHT = 150, WIDTH_MIN = 100;

/** Times below an axis: with their seconds where it is short. */
function times(ticks) {
  const isShort = ticks.length > 1 && ticks[1] - ticks[0] < 60;
  return ticks.map((tick) => isShort ? clock(tick) : clock(tick).slice(0, 5));
}

/** The time of day of a point. */
function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString([], { hour12: false });
}

/** @param lines names and points, newest last */
export function Chart({ title, stepMs, endMs, lines, unit = "" }) {
  const place = useRef(null), plot = useRef(null);
  const length = lines[0]?.points.length ?? 0;
  const xs = Array.from({ length }, (_, i) => (endMs - (length - 1 - i) * stepMs) / 1000);
  const data = [xs, ...lines.map(({ points }) => points)];
  const names = lines.map(({ name }) => name).join("|");
  useEffect(() => {
    const make = () => {
      plot.current?.destroy();
      const style = getComputedStyle(document.documentElement);
      const colour = (name) => style.getPropertyValue(name).trim();
      const axis = {
        stroke: colour("--faint-flat"),
        grid: { stroke: colour("--grid"), width: 1 },
        ticks: { stroke: colour("--grid"), width: 1 },
      };
      plot.current = new uPlot(
        {
          width: place.current.clientWidth,
          height: HEIGHT,
          cursor: { y: false },
          legend: { live: true },
          scales: { y: { range: (_, min, max) => [Math.min(0, min), max > 0 ? max * 1.1 : 1] } },
          axes: [
            { ...axis, size: 30, space: 70, values: (_, ticks) => times(ticks) },
            { ...axis, size: 62, values: (_, ticks) => ticks.map((tick) => short(tick, unit)) },
          ],
          series: [
            { label: "at", value: (_, value) => value === null ? "now" : clock(value) },
            ...lines.map(({ name }, i) => ({
              label: name,
              stroke: colour(COLOURS[i]),
              width: 1.5,
              value: (own, value, at) => short(value ?? own.data[at].at(-1), unit),
              points: { show: false },
            })),
          ],
        },
        data,
        place.current,
      );
    };
    make();
    const observer = new ResizeObserver(() =>
      plot.current?.setSize({ width: place.current?.clientWidth || WIDTH_MIN, height: HEIGHT })
    );
    observer.observe(place.current);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", make);
    return () => {
      observer.disconnect();
      dark.removeEventListener("change", make);
      plot.current?.destroy();
      plot.current = null;
    };
  }, [names, unit]);
  useEffect(() => plot.current?.setData(data), [endMs, length]);
  const said = lines.map(({ name, points }) => {
    const most = points.reduce((a, b) => Math.max(a, b), 0);
    return `${name}: now ${short(points.at(-1) ?? 0, unit)}, at most ${short(most, unit)}`;
  }).join("; ");
  return html`
    <figure>
      <figcaption>${title}</figcaption>
      <div ref=${place} class="plot" role="img" aria-label=${`${title} over the last hour. ${said}`}></div>
    </figure>
  `;
}
