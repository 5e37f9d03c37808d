// Rooms: who is in one, what it keeps, what it costs, and what it hears while somebody looks.

import { useEffect, useState } from "preact/hooks";
import { path } from "./api.js";
import { Publish } from "./sessions.js";
import { Act, bytes, Code, Fault, html, Message, Pages, short, Table, time, useLive } from "./ui.js";

export function Rooms({ api, tenant, rest, me }) {
  if (rest[0] !== undefined) {
    return html`<${Room} ...${{ api, tenant, me }} name=${rest[0]} key=${rest[0]} />`;
  }
  const [text, setText] = useState("");
  const find = (event) => {
    event.preventDefault();
    if (text !== "") location.hash = `#/${encodeURIComponent(tenant)}/rooms/${encodeURIComponent(text)}`;
  };
  return html`
    <div>
      <form class="find" onSubmit=${find}>
        <label>Room <input class="search" value=${text} onInput=${(event) =>
          setText(event.currentTarget.value)} /></label>
        <button>Look</button>
      </form>
      <${Pages} api=${api} url=${`${path`/v1/tenants/${tenant}/rooms`}?limit=50`} field="rooms">${(rooms) =>
        html`
          <${Table} label="Rooms" empty="Nobody is in a room." numeric=${[1, 2]} heads=${[
            "Room",
            "Sessions",
            "Users",
          ]}
            rows=${rooms?.map(({ room, members, users }) => [
              html`<a href=${`#/${encodeURIComponent(tenant)}/rooms/${
                encodeURIComponent(room)
              }`}>${room}</a>`,
              short(members),
              short(users),
            ]) ?? null} />
        `}<//>
      </div>
  `;
}

function Room({ api, tenant, me, name }) {
  const url = path`/v1/tenants/${tenant}/rooms/${name}`;
  const may = (permission) =>
    me.permissions.includes(permission) ? null : `the key has no permission "${permission}"`;
  return html`
    <div>
      <h2>${name}</h2>
      <${Watch} api=${api} url=${`${url}/watch`} />
      <${Publish} api=${api} tenant=${tenant} to=${{ rooms: [name] }} title="Publish into it"
        disabled=${may("publish")} />
      <h3>Members</h3>
      <${Pages} api=${api} url=${`${url}/members?limit=50`} field="members">${(members) =>
        html`
          <${Table} label="Members" empty="Nobody is in it." numeric=${[2]} heads=${[
            "User",
            "Session",
            "Member",
          ]}
            rows=${members?.map(({ user, session, member }) => [
              user,
              html`<a href=${`#/${encodeURIComponent(tenant)}/sessions/${
                encodeURIComponent(session)
              }`}><${Code}
            text=${session} /></a>`,
              member,
            ]) ?? null} />
        `}<//>
        <p><${Act} label="Empty the room" ask=${`Have everybody leave ${name}?`} disabled=${may("publish")}
          act=${async () => `${(await api.delete(url)).removed} have left.`} /></p>
        <h3>What it keeps</h3>
        <${History} api=${api} url=${`${url}/history`} />
      </div>
  `;
}

function History({ api, url }) {
  const { data, error } = useLive(() => api.get(`${url}?limit=50`), 5000, [url]);
  if (error?.status === 404) return html`<p class="faint">It keeps nothing.</p>`;
  return html`<div><${Fault} error=${error} />
    ${
    data !== null && html`<p>Epoch <${Code} text=${data.epoch} />, offsets ${data.first} to ${data.last}</p>`
  }
    <${Table} label="History" empty="It keeps nothing yet." numeric=${[0]} heads=${["Offset", "What", "Data"]}
      rows=${
    data?.messages.toReversed().map((one) => [
      one.offset,
      `${one.svc}:${one.type}`,
      html`<${Message} text=${JSON.stringify(one.data)} />`,
    ]) ?? null
  } /></div>`;
}

/** What the members are told, as they are told it. */
function Watch({ api, url }) {
  const [on, setOn] = useState(false), [heard, setHeard] = useState([]), [note, setNote] = useState(null);
  const [count, setCount] = useState({ messages: 0, bytes: 0, deliveries: 0, since: Date.now() });
  useEffect(() => {
    if (!on) return;
    const abort = new AbortController();
    setHeard([]);
    setCount({ messages: 0, bytes: 0, deliveries: 0, since: Date.now() });
    setNote(null);
    api.stream(url, (event) => {
      if (event.type === "message") {
        setHeard((all) => [event, ...all].slice(0, 100));
        setCount((before) => ({
          ...before,
          messages: before.messages + 1,
          bytes: before.bytes + event.bytes,
          deliveries: before.deliveries + event.deliveries,
        }));
      } else if (event.type === "skipped") {
        setCount((before) => ({ ...before, messages: before.messages + event.events }));
        setNote(`${event.events} more in the last second are not shown`);
      } else if (event.type === "end") setNote(`Ended: ${event.reason}`);
    }, abort.signal).catch((error) => abort.signal.aborted || setNote(error.message));
    return () => abort.abort();
  }, [on, url]);
  const seconds = Math.max(1, (Date.now() - count.since) / 1000);
  return html`<section>
    <p><button aria-pressed=${on} onClick=${() => setOn(!on)}>${
    on ? "Stop watching" : "Watch this room"
  }</button>
      <span role="status">${note}</span></p>
    ${
    on && html`
      <p>${short(count.messages / seconds)} messages a second, ${bytes(
        count.bytes / seconds,
      )}/s of those shown, ${short(count.deliveries)} deliveries</p>
      <${Table} label="Messages" empty="It has heard nothing yet." numeric=${[2]} heads=${[
        "Time",
        "Lane",
        "Deliveries",
        "Message",
      ]}
        rows=${heard.map((one) => [
          time(one.time_ms),
          one.lane,
          one.busy ? "too busy" : short(one.deliveries),
          html`<${Message} text=${`${one.message}${one.cut ? "…" : ""}`} />`,
        ])} />
    `
  }
  </section>`;
}
