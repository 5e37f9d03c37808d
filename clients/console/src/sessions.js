// Who is connected: found by user, id, address or room, and one of them in detail, with what it says while somebody looks.

import { useEffect, useState } from "preact/hooks";
import { path } from "./api.js";
import { Decisions } from "./decisions.js";
import {
  Act,
  bytes,
  Code,
  duration,
  Fault,
  html,
  Message,
  Pages,
  short,
  Table,
  Tile,
  time,
  useLive,
} from "./ui.js";

const BY = [["user", "User"], ["session", "Session id"], ["address", "Address"], ["room", "Room"]];

export function Sessions({ api, tenant, rest, me, go }) {
  if (rest[0] !== undefined) {
    return html`<${Session} ...${{ api, tenant, me, go }} id=${rest[0]} key=${rest[0]} />`;
  }
  return html`<${List} ...${{ api, tenant, go }} />`;
}

function List({ api, tenant, go }) {
  const [by, setBy] = useState("user"), [text, setText] = useState(""), [wanted, setWanted] = useState("");
  const find = (event) => {
    event.preventDefault();
    if (by === "session" && text !== "") return go("sessions", text);
    setWanted(text === "" ? "" : `&${by}=${encodeURIComponent(text)}`);
  };
  const url = `${path`/v1/tenants/${tenant}/sessions`}?limit=50${wanted}`;
  return html`
    <div>
      <form class="find" onSubmit=${find}>
          <label>Find by
            <select value=${by} onChange=${(event) => setBy(event.currentTarget.value)}>
              ${BY.map(([value, name]) => html`<option value=${value}>${name}</option>`)}
            </select>
          </label>
          <label><span class="hidden">What to find</span>
            <input class="search" value=${text} onInput=${(event) => setText(event.currentTarget.value)} />
          </label>
          <button>Find</button>
          ${wanted !== "" && html`<button type="button" onClick=${() => {
            setText("");
            setWanted("");
          }}>All</button>`}
        </form>
      <${Pages} api=${api} url=${url} field="sessions">${(sessions) =>
        html`
          <${Table} label="Sessions" empty="No such session." numeric=${[4]}
            heads=${["User", "Session", "Address", "Since", "Rooms", "State"]}
            rows=${sessions?.map((one) => [
              one.user,
              html`<a href=${`#/${encodeURIComponent(tenant)}/sessions/${
                encodeURIComponent(one.session)
              }`}><${Code}
          text=${one.session} /></a>`,
              one.address,
              time(one.connected_at_ms),
              one.room_count,
              one.detached_ms === null ? "connected" : `away for ${duration(one.detached_ms)}`,
            ]) ?? null} />
        `}<//>
      </div>
  `;
}

function Session({ api, tenant, me, go, id }) {
  const url = path`/v1/tenants/${tenant}/sessions/${id}`;
  const { data, error } = useLive(() => api.get(url), 2000, [url]);
  const may = (permission) =>
    me.permissions.includes(permission) ? null : `the key has no permission "${permission}"`;
  if (data === null) {
    return html`
      <div>
        <${Fault} error=${error} />
        <p class="faint">Looking…</p>
      </div>
    `;
  }
  const user = data.user, ofUser = path`/v1/tenants/${tenant}/users/${user}`;
  return html`
    <div>
      <h2>${user} <span class="faint">on ${data.transport}, ${data.address}</span></h2>
      <${Fault} error=${error} />
      <p class="actions">
        <a href=${`#/${encodeURIComponent(tenant)}/why?session=${
          encodeURIComponent(id)
        }`}>Why would a message be refused?</a>
        <${Act} label="Kick" ask=${`End this session of ${user}?`} disabled=${may("disconnect")}
          act=${async () => {
            await api.delete(`${url}?reason=kicked`);
            go("sessions");
          }} />
        <${Act} label="Ban for an hour" ask=${`End all sessions of ${user}, and let ${user} in no more for an hour?`}
          disabled=${may("disconnect")} act=${async () => {
            await api.post(`${ofUser}/ban`, { for_ms: 3_600_000 });
            go("bans");
          }} />
        <${Act} label="Revoke tickets" ask=${`Take the tickets that ${user} has no more, and end their sessions?`}
          disabled=${may("disconnect")} act=${async () => {
            await api.post(path`/v1/tenants/${tenant}/tickets/revoke`, { user });
            go("bans");
          }} />
      </p>
      <dl class="tiles">
          <${Tile} name="Since" value=${time(data.connected_at_ms)} />
          <${Tile} name="State" value=${data.detached_ms === null ? "connected" : "away"}
            note=${data.detached_ms === null
              ? null
              : duration(data.detached_ms)} bad=${data.detached_ms !== null} />
          <${Tile} name="Waits for it" value=${bytes(
            data.waiting_bytes,
          )} bad=${data.waiting_bytes > 65_536} />
          <${Tile} name="Socket full for" value=${duration(data.blocked_ms)} bad=${data.blocked_ms > 1000} />
          <${Tile} name="Dropped" value=${short(data.dropped)} bad=${data.dropped > 0} />
          <${Tile} name="Backlog" value=${short(data.backlog.messages)} note=${bytes(data.backlog.bytes)} />
          ${data.quotas.map(({ quota, unit, left, burst }) =>
            html`
              <${Tile} name=${`Quota of ${quota}, ${unit}`}
                value=${`${short(left)} left`} note=${`of ${short(burst)}`} bad=${left < burst / 10} />
            `
          )}
          ${data.throttled_ms !== null &&
            html`<${Tile} name="Throttled for" value=${duration(data.throttled_ms)} bad=${true} />`}
        </dl>
      <h3>Lanes</h3>
      <${Table} label="Lanes" numeric=${[1, 2]} empty="Nothing waits." heads=${["Lane", "Messages", "Bytes"]}
        rows=${data.lanes.map(({ lane, messages, bytes: size }) => [lane, short(messages), bytes(size)])} />
      <h3>Rooms</h3>
      <${Table} label="Rooms" numeric=${[1]} empty="It is in no room." heads=${[
        "Room",
        "Member",
        "Hot messages go there",
      ]}
        rows=${data.rooms.map(({ room, member, active }) => [
          html`<a href=${`#/${encodeURIComponent(tenant)}/rooms/${encodeURIComponent(room)}`}>${room}</a>`,
          member,
          active ? "yes" : "",
        ])} />
      <h3>Last denials</h3>
      <${Decisions} api=${api} tenant=${tenant} query=${`&denied=true&session=${
        encodeURIComponent(id)
      }`} brief=${true} />
      <${Watch} api=${api} url=${`${url}/watch`} />
      <${Send} api=${api} tenant=${tenant} id=${id} disabled=${may("publish")} />
      <dl class="facts">
        <div>
          <dt>Session</dt>
          <dd>
            <${Code} text=${data.session} />
          </dd>
        </div>
        <div>
          <dt>Client's name</dt>
          <dd>
            <${Code} text=${data.sid} />
          </dd>
        </div>
        <div>
          <dt>Ticket</dt>
          <dd>
            <${Code} text=${data.ticket_id} />
          </dd>
        </div>
        <div>
          <dt>Trace</dt>
          <dd>
            <${Code} text=${data.trace_id} />
          </dd>
        </div>
      </dl>
    </div>
  `;
}

/** The last 100 decisions while somebody looks. */
function Watch({ api, url }) {
  const [on, setOn] = useState(false), [seen, setSeen] = useState([]), [note, setNote] = useState(null);
  useEffect(() => {
    if (!on) return;
    const abort = new AbortController();
    setSeen([]);
    setNote(null);
    api.stream(url, (event) => {
      if (event.type === "decision") setSeen((all) => [event, ...all].slice(0, 100));
      else if (event.type === "gone") setNote("The session has ended.");
      else if (event.type === "end") setNote(`Ended: ${event.reason}`);
      else if (event.type === "skipped") setNote(`${event.events} more in the last second are not shown`);
    }, abort.signal).catch((error) => abort.signal.aborted || setNote(error.message));
    return () => abort.abort();
  }, [on, url]);
  return html`<section>
    <h3>Watch</h3>
    <p><button aria-pressed=${on} onClick=${() => setOn(!on)}>${
    on ? "Stop watching" : "Watch this session"
  }</button>
      <span role="status">${note}</span></p>
    ${
    on && html`
      <${Table} label="Decisions" empty="It has said nothing yet." heads=${[
        "Time",
        "",
        "What",
        "Rule",
        "Message",
      ]}
        rows=${seen.map((one) => [
          time(one.time_ms),
          html`<span class=${one.allowed ? "good" : "wrong"}>${one.allowed ? "passed" : "denied"}</span>`,
          one.service ?? one.lane,
          one.rule_id === null ? "" : `${one.rule_id}${one.line === null ? "" : `, line ${one.line}`}`,
          html`<${Message} text=${one.message} />`,
        ])} />
    `
  }
  </section>`;
}

function Send({ api, tenant, id, disabled }) {
  return html`
    <${Publish} api=${api} tenant=${tenant} to=${{ sessions: [id] }} disabled=${disabled}
      title="Send to this session" />
  `;
}

/** Sends a message to a session or into a room. */
export function Publish({ api, tenant, to, title, disabled }) {
  const [svc, setSvc] = useState("chat"), [type, setType] = useState("msg"), [data, setData] = useState("{}");
  const [said, setSaid] = useState(null);
  const send = async (event) => {
    event.preventDefault();
    try {
      const { deliveries } = await api.post(path`/v1/tenants/${tenant}/publish`, {
        to,
        svc,
        type,
        data: JSON.parse(data),
      });
      setSaid(`Handed to ${deliveries}.`);
    } catch (error) {
      setSaid(error.message);
    }
  };
  const field = (name, value, set) =>
    html`<label>${name}
    <input value=${value} required onInput=${(event) => set(event.currentTarget.value)} /></label>`;
  return html`
    <section>
      <h3>${title}</h3>
      <form class="find" onSubmit=${send}>
          ${field("Service", svc, setSvc)} ${field("Type", type, setType)} ${field("Data", data, setData)}
          <button disabled=${disabled !== null} title=${disabled ?? ""}>Send</button>
          <span role="status">${said}</span>
        </form>
    </section>
  `;
}
