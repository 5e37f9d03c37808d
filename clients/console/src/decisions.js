// The last decisions of policy, each with its rule and the line of the file.

import { Code, html, Message, Pages, Place, short, Table, time } from "./ui.js";

export function Decisions({ api, tenant, query = "", brief = false, limit = 10 }) {
  const url = `/v1/tenants/${encodeURIComponent(tenant)}/decisions?limit=${limit}${query}`;
  return html`<${Pages} api=${api} url=${url} field="decisions">${(decisions) =>
    html`
      <${Table} label="Decisions" empty="None that are kept."
        heads=${["Time", ...(brief ? [] : ["User"]), "What", "Rule", "Where", "Why", "Message", ""]}
        rows=${decisions?.map((one) => [
          time(one.time_ms),
          ...(brief ? [] : [
            html`<a href=${`#/${encodeURIComponent(tenant)}/sessions/${
              encodeURIComponent(one.session)
            }`}>${one.user}</a>`,
          ]),
          html`<${Code} text=${one.service ?? one.lane} />`,
          one.rule_id === null
            ? html`<span class="good">passed</span>`
            : html`<span class=${one.allowed ? "note" : "wrong"}>${one.rule_id}${
              one.allowed ? " (passed)" : ""
            }</span>`,
          one.rule_id === null ? "" : html`<${Place} path=${one.path} line=${one.line} />`,
          one.why === null ? "" : `${one.why}${one.repeats > 0 ? `, and ${short(one.repeats)} more` : ""}`,
          html`<${Message} text=${one.message} />`,
          one.message === null ? "" : html`<a href=${whyOf(tenant, one)}>Why?</a>`,
        ]) ?? null} />
    `}<//>`;
}

/** The page that explains a decision. */
function whyOf(tenant, { user, lane, room, message }) {
  const query = new URLSearchParams({ user, lane, message, ...(room === null ? {} : { room }) });
  return `#/${encodeURIComponent(tenant)}/why?${query}`;
}
