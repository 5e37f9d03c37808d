// Why a message is let through or not, and what another file would have decided.

import { useEffect, useState } from "preact/hooks";
import { path } from "./api.js";
import { Decisions } from "./decisions.js";
import { Fault, html, Message, Place, short, Table, time } from "./ui.js";

const WORDS = { pass: "passes", skip: "not about it", note: "noted", deny: "DENIES" };
const EXAMPLE = '{"v":1,"svc":"chat","type":"send","room":"lobby","data":{"msg":"hi"}}';

export function Why({ api, tenant, query, me }) {
  const [asked, setAsked] = useState({});
  const form = {
    lane: "ext",
    message: EXAMPLE,
    user: "user",
    claims: "{}",
    room: "",
    member: true,
    session: "",
    ...Object.fromEntries(new URLSearchParams(query)),
    ...asked,
  };
  useEffect(() => setAsked({}), [query, tenant]);
  const [found, setFound] = useState({ data: null, error: null });
  const set = (name, value) => setAsked((before) => ({ ...before, [name]: value }));
  const ask = async () => {
    try {
      const { lane, message, user, room, member, session } = form;
      const claims = form.claims.trim() === "" ? {} : JSON.parse(form.claims);
      const sender = session === ""
        ? { user, claims, member, ...(room === "" ? {} : { room }) }
        : { session };
      const body = { lane, message, ...sender };
      setFound({ data: await api.post(path`/v1/tenants/${tenant}/explain`, body), error: null });
    } catch (error) {
      setFound({ data: null, error });
    }
  };
  // Whoever comes from a denial wants the answer, not the button.
  useEffect(() => void (query !== "" && ask()), [query, tenant]);
  const { data, error } = found;
  return html`<div>
    <form class="ask" onSubmit=${(event) => (event.preventDefault(), void ask())}>
      <label class="wide">The message, as a client would send it
        <textarea rows="4" value=${form.message} onInput=${(event) =>
    set("message", event.currentTarget.value)}></textarea>
      </label>
      <label>Lane <select value=${form.lane} onChange=${(event) => set("lane", event.currentTarget.value)}>
        <option value="ext">ext</option><option value="hot">hot, in hexadecimal digits</option></select></label>
      <label>Session <input placeholder="none" value=${form.session} onInput=${(event) =>
    set("session", event.currentTarget.value.trim())} /></label>
      ${
    form.session !== ""
      ? html`<p class="faint">Its user, claims and rooms, and what it has taken of its own quotas.</p>`
      : html`
        <label>User <input value=${form.user} onInput=${(event) =>
          set("user", event.currentTarget.value)} /></label>
        <label>Claims <input value=${form.claims} onInput=${(event) =>
          set("claims", event.currentTarget.value)} /></label>
        <label>Room joined last <input value=${form.room}
          onInput=${(event) => set("room", event.currentTarget.value)} /></label>
        <label class="check"><input type="checkbox" checked=${form.member}
          onChange=${(event) =>
            set("member", event.currentTarget.checked)} /> is a member of the message's room</label>
      `
  }
      <button>Explain</button>
    </form>
    <${Fault} error=${error} />
    ${
    data !== null && html`
      <section aria-live="polite">
        <h2 class=${data.allowed ? "good" : "wrong"}>${data.allowed
          ? "Allowed"
          : `Denied by ${data.rule_id}`}</h2>
        <${Table} label="Checks" heads=${["Check", "Verdict", "Where", "Why"]} rows=${data.steps.map((
          step,
        ) => [
          step.check,
          html`<span class=${
            step.verdict === "deny" ? "wrong" : step.verdict === "pass" ? "good" : "faint"
          }>${WORDS[step.verdict]}</span>`,
          html`<${Place} path=${step.path} line=${step.line} />`,
          step.why ?? "",
        ])} />
        <p
          class="faint">Quotas are full, those of a session itself excepted. Rooms of a ticket count when a room is joined.</p>
      </section>
    `
  }
    <h2>Last denials</h2>
    <${Decisions} api=${api} tenant=${tenant} query="&denied=true" limit=${15} />
    ${me.global && html`<${DryRun} api=${api} />`}
  </div>`;
}

/** A pasted file against the last decisions. */
function DryRun({ api }) {
  const [config, setConfig] = useState(""),
    [found, setFound] = useState({ data: null, error: null, busy: false });
  const run = async (event) => {
    event.preventDefault();
    setFound({ data: null, error: null, busy: true });
    try {
      setFound({ data: await api.post("/v1/dry-run", { config }), error: null, busy: false });
    } catch (error) {
      setFound({ data: null, error, busy: false });
    }
  };
  const { data, error, busy } = found;
  const verdict = ({ allowed, rule_id, path: at, line }) =>
    allowed
      ? html`<span class="good">allowed</span>`
      : html`<span><span class="wrong">${rule_id}</span> <${Place} path=${at} line=${line} /></span>`;
  return html`<section>
    <h2>What would another file decide?</h2>
    <form onSubmit=${run}>
      <label class="wide">The whole file
        <textarea rows="8" spellcheck="false" value=${config}
          onInput=${(event) => setConfig(event.currentTarget.value)}></textarea></label>
      <p><button disabled=${busy || config === ""}>${busy ? "Comparing…" : "Compare"}</button></p>
    </form>
    <${Fault} error=${error} />
    ${
    data !== null && html`<div aria-live="polite">
      <p><b>${short(data.different)} of ${short(data.compared)} decisions would be different.</b>
        ${`${
      short(data.left_out)
    } cannot be`} repeated: they were made by quotas or rates, or their messages are too long to be kept.</p>
      ${
      data.missing.length > 0 && html`<p class="fault">The file does not have ${data.missing.join(", ")}.</p>`
    }
      <${Table} label="Differences" empty="No difference." heads=${[
      "Time",
      "Tenant",
      "User",
      "Now",
      "Then",
      "Message",
    ]}
        rows=${
      data.differences.map(({ tenant, decision, before, after }) => [
        time(decision.time_ms),
        tenant,
        decision.user,
        verdict(before),
        verdict(after),
        html`<${Message} text=${decision.message} />`,
      ])
    } />
    </div>`
  }
  </section>`;
}
