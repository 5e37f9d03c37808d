// Who is slow, who costs most and who is denied most, now.

import { path } from "./api.js";
import { bytes, duration, Fault, html, short, Table, useLive } from "./ui.js";

export function Slow({ api, tenant }) {
  const { data, error } = useLive(() => api.get(path`/v1/tenants/${tenant}/slow`), 2000, [tenant]);
  const to = (view, name) => `#/${encodeURIComponent(tenant)}/${view}/${encodeURIComponent(name)}`;
  const sessions = (label, list, empty) =>
    html`
      <section>
        <h2>${label}</h2>
        <${Table} label=${label} numeric=${[2, 3, 4]} empty=${empty}
          heads=${["User", "Session", "Waits", "Socket full for", "Dropped"]}
          rows=${list?.map((one) => [
            one.user,
            html`<a href=${to("sessions", one.session)}><code>${one.session}</code></a>`,
            bytes(one.waiting_bytes),
            duration(one.blocked_ms),
            short(one.dropped),
          ]) ?? null} />
      </section>
    `;
  const top = (label, list, view, unit, empty) =>
    html`
      <section>
        <h2>${label}</h2>
        <${Table} label=${label} numeric=${[1]} empty=${empty} heads=${[
          "Name",
          unit,
        ]} rows=${list?.map(({ name, count, over }) => [
          view === null ? name : html`<a href=${to(view, name)}>${name}</a>`,
          over > 0 ? `${short(count - over)} to ${short(count)}` : short(count),
        ]) ?? null} />
      </section>
    `;
  return html`<div>
    <${Fault} error=${error} />
    <div class="columns">
      ${sessions("Most waiting", data?.waiting, "Nobody waits.")}
      ${sessions("Longest full", data?.blocked, "No socket is full.")}
      ${sessions("Most dropped", data?.dropped, "Nothing was dropped.")}
      ${top("Rooms with most deliveries", data?.rooms, "rooms", "Deliveries", "No room has heard anything.")}
      ${top("Users with most denials", data?.users, null, "Denials", "Nobody was denied anything.")}
    </div>
    ${
    data && html`<p class="faint">Rooms and users are counted over the last ${duration(data.counted_ms)}.</p>`
  }
  </div>`;
}
