// Who is not let in: bans and revoked tickets.

import { useState } from "preact/hooks";
import { path } from "./api.js";
import { Act, Code, Fault, html, Pages, Table, time } from "./ui.js";

const HOURS = [["1", "an hour"], ["24", "a day"], ["168", "a week"], ["", "ten years"]];

export function Bans({ api, tenant, me }) {
  const [turn, setTurn] = useState(0);
  const may = me.permissions.includes("disconnect") ? null : 'the key has no permission "disconnect"';
  const base = path`/v1/tenants/${tenant}`;
  const changed = () => setTurn((before) => before + 1);
  return html`
    <div>
      <${Ban} ...${{ api, base, may, changed }} />
      <h2>Bans</h2>
      <${Pages} api=${api} url=${`${base}/bans?limit=50`} field="bans" deps=${[turn]}>${(bans, again) =>
        html`
          <${Table} label="Bans" empty="Nobody is banned." heads=${["User", "Until", "By", ""]}
            rows=${bans?.map(({ user, until_ms, by }) => [
              user,
              time(until_ms),
              by,
              html`
                <${Act} label="Lift the ban" ask=${`Let ${user} in again?`} disabled=${may} danger=${false}
                  act=${async () =>
                    void await api.delete(`${base}/users/${encodeURIComponent(user)}/ban`)} done=${again} />
              `,
            ]) ?? null} />
        `}<//>
        <h2>Revoked tickets</h2>
        <${Pages} api=${api} url=${`${base}/revocations?limit=50`} field="revocations" deps=${[turn]}>${(
          revoked,
        ) =>
          html`
            <${Table} label="Revoked tickets" empty="No ticket is revoked."
              heads=${["Ticket", "User", "Issued before", "Forgotten"]}
              rows=${revoked?.map(({ jti, user, issued_before_ms, expires_at_ms }) => [
                html`<${Code} text=${jti} />`,
                user ?? "–",
                time(issued_before_ms),
                expires_at_ms === null ? "never" : time(expires_at_ms),
              ]) ?? null} />
          `}<//>
      </div>
  `;
}

function Ban({ api, base, may, changed }) {
  const [user, setUser] = useState(""), [hours, setHours] = useState("1"), [error, setError] = useState(null);
  const [said, setSaid] = useState(null);
  const ban = async (event) => {
    event.preventDefault();
    try {
      const body = hours === "" ? {} : { for_ms: Number(hours) * 3_600_000 };
      const { disconnected } = await api.post(`${base}/users/${encodeURIComponent(user)}/ban`, body);
      setError(null);
      setSaid(`${user} is banned; ${disconnected} sessions have ended.`);
      setUser("");
      changed();
    } catch (fault) {
      setError(fault);
    }
  };
  return html`
    <form class="find" onSubmit=${ban}>
      <label>User <input required value=${user} onInput=${(event) =>
        setUser(event.currentTarget.value)} /></label>
      <label>for <select value=${hours} onChange=${(event) => setHours(event.currentTarget.value)}>
          ${HOURS.map(([value, name]) => html`<option value=${value}>${name}</option>`)}</select></label>
      <button class="danger" disabled=${may !== null} title=${may ?? ""}>Ban</button>
      <span role="status">${said}</span>
      <${Fault} error=${error} />
    </form>
  `;
}
