// Webhooks: what waits for each backend, and what the backends refuse.

import { useState } from "preact/hooks";
import { path } from "./api.js";
import { Act, bytes, duration, Fault, html, Message, Pages, short, Table, time, useLive } from "./ui.js";

export function Webhooks({ api, tenant, me }) {
  const { data, error, again } = useLive(() => api.get(path`/v1/tenants/${tenant}/webhooks`), 3000, [tenant]);
  const [open, setOpen] = useState(null);
  const may = me.permissions.includes("reload") ? null : 'the key has no permission "reload"';
  const sum = (counts) => Object.entries(counts).map(([name, count]) => `${name} ${short(count)}`).join(", ");
  return html`<div>
    <${Fault} error=${error} />
    <${Table} label="Webhooks" empty="This tenant has no webhooks." numeric=${[2, 3, 4]}
      heads=${["Webhook", "Backend", "Waiting", "Oldest", "Dead letters", "Requests", "Lost", ""]}
      rows=${
    data?.webhooks.map((one) => [
      one.id,
      one.url,
      `${short(one.events)}, ${bytes(one.bytes)}`,
      one.oldest_ms === null ? "–" : duration(Date.now() - one.oldest_ms),
      html`<span class=${one.dead_letters > 0 ? "wrong" : ""}>${short(one.dead_letters)}</span>`,
      sum(one.batches),
      sum(one.lost),
      html`<button aria-expanded=${open === one.id} onClick=${() =>
        setOpen(open === one.id ? null : one.id)}>Dead letters of ${one.id}</button>`,
    ]) ?? null
  } />
    ${open !== null && html`<${DeadLetters} ...${{ api, tenant, may }} id=${open} changed=${again} />`}
  </div>`;
}

function DeadLetters({ api, tenant, id, may, changed }) {
  const url = path`/v1/tenants/${tenant}/webhooks/${id}/dead-letters`;
  return html`
    <section>
      <h2>Dead letters of ${id}</h2>
      <${Pages} api=${api} url=${`${url}?limit=50`} field="dead_letters">${(letters, again) => {
        const after = () => (again(), changed());
        const act = (verb, which, said) => async () => {
          const done = await api.post(`${url}/${verb}`, which);
          return said(Object.values(done)[0]);
        };
        return html`
          <div>
            <p class="actions">
              <${Act} label="Retry all" danger=${false} ask=${`Send all dead letters of ${id} again?`} disabled=${may}
                act=${act("retry", { all: true }, (n) => `${n} wait to be sent.`)} done=${after} />
              <${Act} label="Drop all" ask=${`Forget all dead letters of ${id}?`} disabled=${may}
                act=${act("drop", { all: true }, (n) => `${n} are gone.`)} done=${after} />
            </p>
            <${Table} label="Dead letters" empty="None." numeric=${[0]} heads=${[
              "No.",
              "Time",
              "Reason",
              "Event",
              "",
            ]}
              rows=${letters?.map(({ seq, time_ms, reason, event }) => [
                seq,
                time(time_ms),
                reason,
                html`<${Message} text=${JSON.stringify(event)} />`,
                html`<span class="actions">
              <${Act} label="Retry" danger=${false} ask=${`Send event ${seq} again?`} disabled=${may}
                act=${act("retry", { seqs: [seq] }, () => null)} done=${after} />
              <${Act} label="Drop" ask=${`Forget event ${seq}?`} disabled=${may}
                act=${act("drop", { seqs: [seq] }, () => null)} done=${after} /></span>`,
              ]) ?? null} />
          </div>
        `;
      }}<//>
      </section>
  `;
}
