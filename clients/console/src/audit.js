// Who has changed what over the admin API, newest first.

import { html, Pages, Table, time } from "./ui.js";

export function Audit({ api }) {
  return html`<${Pages} api=${api} url="/v1/audit?limit=50" field="entries">${(entries) =>
    html`
      <${Table} label="Audit" empty="Nothing was changed since the start." heads=${[
        "Time",
        "Key",
        "What",
        "From",
        "Answer",
      ]}
        rows=${entries?.map(({ time_ms, key, method, path, address, status }) => [
          time(time_ms),
          key,
          html`<code>${method} ${path}</code>`,
          address,
          html`<span class=${status < 400 ? "good" : "wrong"}>${status}</span>`,
        ]) ?? null} />
    `}<//>`;
}
