// The configuration in use, and what the file on disk would change.

import { useState } from "preact/hooks";
import { Act, Fault, html, Table, useLive } from "./ui.js";

export function Config({ api, me }) {
  const inUse = useLive(() => api.get("/v1/config"), 0, []);
  const [changes, setChanges] = useState({ data: null, error: null, busy: false });
  const look = async () => {
    setChanges({ data: null, error: null, busy: true });
    try {
      setChanges({ data: await api.get("/v1/config/changes"), error: null, busy: false });
    } catch (error) {
      setChanges({ data: null, error, busy: false });
    }
  };
  const may = me.permissions.includes("reload") ? null : 'the key has no permission "reload"';
  const { data, error, busy } = changes;
  const nothing = data !== null && data.ok &&
    data.changes.length + data.added.length + data.removed.length === 0;
  return html`<div>
    <p class="actions">
      <button onClick=${look} disabled=${busy}>${
    busy ? "Reading the file…" : "What would a reload change?"
  }</button>
      <${Act} label="Reload" ask="Read the configuration anew, and go by it from then on?" disabled=${may}
        act=${async () => {
    const { outcome, changes: made } = await api.post("/v1/reload");
    return outcome === "applied" ? `Applied: ${made.length} changes.` : "Nothing has changed.";
  }} done=${() => (inUse.again(), setChanges({ data: null, error: null, busy: false }))} />
    </p>
    <${Fault} error=${error} />
    ${
    data !== null && html`<section aria-live="polite">
      <h2>${
      !data.ok
        ? "The file would be refused"
        : nothing
        ? "The file says what is in use"
        : "The file would change"
    }</h2>
      <${Fault} error=${data.ok ? null : { message: "Nothing would change.", failures: data.failures }} />
      ${data.added.length > 0 && html`<p>New tenants: ${data.added.join(", ")}</p>`}
      ${
      data.removed.length > 0 &&
      html`<p class="fault">Tenants that would be served no more: ${data.removed.join(", ")}</p>`
    }
      ${
      data.changes.length > 0 && html`
        <${Table} label="Changes" heads=${["Tenant", "Key", "Now", "Then", ""]}
          rows=${data.changes.map(({ tenant, key, before, after, restart }) => [
            tenant ?? "all",
            html`<code>${key}</code>`,
            before ?? "–",
            before === after ? "changed, not shown" : after ?? "–",
            restart ? html`<span class="wrong">needs a restart</span>` : "",
          ])} />
      `
    }
      ${
      data.warnings.length > 0 && html`
        <h3>Warnings</h3>
        <ul>${data.warnings.map((one) => html`<li>${one}</li>`)}</ul>
      `
    }
    </section>`
  }
    <h2>In use</h2>
    <${Fault} error=${inUse.error} />
    <pre tabindex="0" role="region" aria-label="The configuration in use">${
    inUse.data === null ? "Looking…" : yaml(inUse.data, 0).trimStart()
  }</pre>
  </div>`;
}

/** Plain values as YAML, for reading. */
function yaml(value, depth) {
  const pad = `\n${"  ".repeat(depth)}`;
  if (Array.isArray(value)) {
    if (value.length === 0) return " []";
    return value.map((item) => `${pad}-${nested(item, depth)}`).join("");
  }
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value);
    if (entries.length === 0) return " {}";
    return entries.map(([key, inner]) => `${pad}${key}:${yaml(inner, depth + 1)}`).join("");
  }
  return ` ${typeof value === "string" && !/^[\w./:-]+$/.test(value) ? JSON.stringify(value) : value}`;
}

function nested(item, depth) {
  const text = yaml(item, depth + 1);
  return text.startsWith("\n") ? ` ${text.trimStart()}` : text;
}
