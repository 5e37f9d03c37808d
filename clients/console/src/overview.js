// How the gateway is: numbers of now, charts of the last hour.

import { useEffect, useRef, useState } from "preact/hooks";
import { path } from "./api.js";
import { Chart } from "./chart.js";
import { bytes, duration, Fault, html, short, Table, Tile, time, useLive } from "./ui.js";

const EVERY_MS = 5000;

/** The points of the last hour, of which only new ones are asked for. */
function useOverview(api, tenant) {
  const kept = useRef({ of: null, lines: {}, count: 0 });
  return useLive(
    async () => {
      if (kept.current.of !== tenant) kept.current = { of: tenant, lines: {}, count: 0 };
      const only = tenant === null ? "" : `&tenant=${encodeURIComponent(tenant)}`;
      const data = await api.get(`/v1/overview?since=${kept.current.count}${only}`);
      const { history } = data;
      if (history === null) return { ...data, lines: null };
      // A gateway that was started anew counts from 0.
      const old = history.count >= kept.current.count ? kept.current.lines : {};
      const max = 3_600_000 / history.step_ms;
      const lines = Object.fromEntries(
        Object.entries(history.lines).map((
          [name, points],
        ) => [name, [...(old[name] ?? []), ...points].slice(-max)]),
      );
      kept.current = { of: tenant, lines, count: history.count };
      return { ...data, lines };
    },
    EVERY_MS,
    [tenant],
  );
}

export function Overview({ api, tenant, me }) {
  const { data, error } = useOverview(api, tenant);
  if (data === null) {
    return html`
      <div>
        <${Fault} error=${error} />
        <p class="faint">Looking…</p>
      </div>
    `;
  }
  const { now, lines, history, process } = data;
  const last = (name) => lines?.[name]?.at(-1) ?? null;
  const out = ["out_control", "out_reliable", "out_latest", "out_lossy"];
  const outNow = lines === null ? null : out.reduce((sum, name) => sum + (last(name) ?? 0), 0);
  return html`<div>
    <${Fault} error=${error} />
    ${
    data.draining && html`<p class="fault" role="alert">This gateway drains: it takes nobody in any more.</p>`
  }
    ${data.degraded && html`<p class="fault" role="alert">Something is down that a tenant relies on.</p>`}
    <dl class="tiles">
      <${Tile} name="Sessions" value=${short(now.sessions)} note=${`${short(data.users)} users`} />
      <${Tile} name="Rooms" value=${short(data.rooms)} />
      <${Tile} name="In" value=${`${short(last("in_messages"))}/s`} note=${`${bytes(last("in_bytes"))}/s`} />
      <${Tile} name="Out" value=${`${short(outNow)}/s`} note=${`${bytes(last("out_bytes"))}/s`} />
      <${Tile} name="Denied" value=${`${short(last("denied"))}/s`} note=${`${short(now.denied)} in all`}
        bad=${last("denied") > 0} />
      <${Tile} name="Dropped" value=${`${short(last("dropped"))}/s`} note=${`${short(now.dropped)} in all`}
        bad=${last("dropped") > 0} />
      <${Tile} name="Without a ticket yet" value=${short(data.pending)} />
      <${Tile} name="Extensions down" value=${data.extensions_down} bad=${data.extensions_down > 0} />
      ${
    process !== null && html`
      <${Tile} name="Loop late" value=${last("lag_ms") === null ? "–" : `${last("lag_ms").toFixed(1)} ms`} />
      <${Tile} name="Memory" value=${bytes(process.memory_bytes)} />
      <${Tile} name="Waits for sockets" value=${bytes(process.held_bytes)} />
    `
  }
    </dl>
    ${
    lines === null || (lines.sessions?.length ?? 0) === 0
      ? html`<p class="faint">The first points come within ${
        tenant === null && me.global ? "ten seconds" : "a minute"
      }.</p>`
      : html`<${Charts} history=${history} lines=${lines} whole=${process !== null} />`
  }
    ${me.global && tenant === null && html`<${Nodes} api=${api} />`}
    <${Webhooks} api=${api} tenant=${tenant} />
  </div>`;
}

function Charts({ history, lines, whole }) {
  const at = { stepMs: history.step_ms, endMs: history.end_ms };
  const of = (...pairs) => pairs.map(([name, line]) => ({ name, points: lines[line] }));
  return html`<section class="charts" aria-label="The last hour">
    <${Chart} ...${at} title="Sessions" lines=${of(["sessions", "sessions"])} />
    <${Chart} ...${at} title="Messages in a second" lines=${
    of(["in", "in_messages"], ["out, reliable", "out_reliable"], ["out, latest", "out_latest"], [
      "out, lossy",
      "out_lossy",
    ])
  } />
    <${Chart} ...${at} title="Bytes in a second" unit="B" lines=${
    of(["in", "in_bytes"], ["out", "out_bytes"])
  } />
    <${Chart} ...${at} title="Denied and dropped in a second"
      lines=${of(["denied", "denied"], ["dropped", "dropped"])} />
    ${
    whole && html`
      <${Chart} ...${at} title="How late the loop is" unit="ms" lines=${of(["late", "lag_ms"])} />
      <${Chart} ...${at} title="Memory" unit="B"
        lines=${of(["resident", "memory_bytes"], ["waits for sockets", "held_bytes"])} />
    `
  }
  </section>`;
}

/** The nodes of a cluster, and those that have left while somebody looked; nothing where the gateway is alone. */
function Nodes({ api }) {
  const { data } = useLive(() => api.get("/v1/nodes"), EVERY_MS, []);
  const [gone, setGone] = useState([]);
  const before = useRef([]);
  useEffect(() => {
    if (data === null) return;
    const there = new Set(data.nodes.map(({ incarnation }) => incarnation));
    const left = before.current.filter(({ incarnation }) => !there.has(incarnation));
    before.current = data.nodes;
    if (left.length > 0) {
      setGone((all) => [...left.map((node) => ({ ...node, at: Date.now() })), ...all].slice(0, 20));
    }
  }, [data]);
  if (!data?.nodes.length && gone.length === 0) return null;
  return html`<section>
    <h2>Nodes</h2>
    <${Table} label="Nodes" numeric=${[3]} heads=${[
    "Node",
    "Version",
    "Since",
    "Sessions",
    "State",
    "Heard of",
  ]}
      rows=${
    data.nodes.map((one) => [
      one.self ? html`<b>${one.node}</b>` : one.node,
      one.version,
      time(one.started_at_ms),
      short(one.sessions),
      one.draining ? html`<span class="wrong">draining</span>` : "serving",
      one.self ? "this one" : `${duration(one.silent_ms)} ago`,
    ])
  } />
    ${
    gone.map(({ node, at }) => html`<p class="fault" role="status">Node ${node} has left at ${time(at)}.</p>`)
  }
  </section>`;
}

/** What waits for the backends of the tenants. */
function Webhooks({ api, tenant }) {
  const { data } = useLive(
    async () => {
      const ids = tenant !== null
        ? [tenant]
        : (await api.get("/v1/tenants")).tenants.slice(0, 20).map(({ id }) => id);
      const all = await Promise.all(
        ids.map(async (id) =>
          (await api.get(path`/v1/tenants/${id}/webhooks`).catch(() => ({ webhooks: [] }))).webhooks.map((
            one,
          ) => ({ id, one }))
        ),
      );
      return all.flat();
    },
    3 * EVERY_MS,
    [tenant],
  );
  if (!data?.length) return null;
  return html`
    <section>
      <h2>Webhooks</h2>
      <${Table} label="Webhooks" numeric=${[2, 3, 4]} heads=${[
        "Tenant",
        "Webhook",
        "Waiting",
        "Oldest",
        "Dead letters",
      ]}
        rows=${data.map(({ id, one }) => [
          id,
          html`<a href=${`#/${encodeURIComponent(id)}/webhooks`}>${one.id}</a>`,
          short(one.events),
          one.oldest_ms === null ? "–" : duration(Date.now() - one.oldest_ms),
          short(one.dead_letters),
        ])} />
    </section>
  `;
}
