// Extensions: how each is, what it was asked, and what it said last.

import { path } from "./api.js";
import { Fault, html, Message, short, Table, Tile, time, useLive } from "./ui.js";

export function Extensions({ api, tenant }) {
  const { data, error } = useLive(() => api.get(path`/v1/tenants/${tenant}/extensions`), 2000, [tenant]);
  if (data?.extensions.length === 0) return html`<p class="faint">This tenant has no extensions.</p>`;
  return html`<div>
    <${Fault} error=${error} />
    ${data?.extensions.map((one) => html`<${Extension} key=${`${one.role} ${one.extension}`} one=${one} />`)}
  </div>`;
}

function Extension({ one }) {
  const isUp = one.condition === "up";
  const kills = Object.entries(one.kills).map(([cause, count]) => `${cause} ${count}`).join(", ");
  return html`
    <section>
      <h2>${one.extension} <span class="faint">${one.role}</span>
          <span class=${isUp ? "badge good" : "badge wrong"}>${one.condition}</span></h2>
      <dl class="tiles">
        <${Tile} name="Answers" value=${short(one.answered)} note=${one.mean_ms === null
          ? null
          : `${one.mean_ms < 10 ? one.mean_ms.toFixed(2) : Math.round(one.mean_ms)} ms on average`} />
        <${Tile} name="Under way" value=${short(one.pending)} />
        <${Tile} name="Restarts" value=${one.restarts} note=${kills} bad=${one.restarts > 0} />
        <${Tile} name="Failed starts" value=${one.failed_starts} bad=${one.failed_starts > 0} />
      </dl>
      <${Table} label=${`Calls of ${one.extension}`} empty="It was never called." numeric=${[2]} heads=${[
        "Hook",
        "Outcome",
        "Calls",
      ]}
        rows=${one.calls.map(({ hook, outcome, count }) => [
          hook,
          html`<span class=${outcome === "ok" || outcome === "none" ? "" : "wrong"}>${outcome}</span>`,
          short(count),
        ])} />
      <h3>Last lines of its log</h3>
      <${Table} label=${`Log of ${one.extension}`} empty="It has said nothing." heads=${[
        "Time",
        "Level",
        "Line",
      ]}
        rows=${one.log.toReversed().map(({ time_ms, level, text }) => [
          time(time_ms),
          html`<span class=${level === "error" || level === "warn" ? "wrong" : ""}>${level}</span>`,
          html`<${Message} text=${text} />`,
        ])} />
    </section>
  `;
}
