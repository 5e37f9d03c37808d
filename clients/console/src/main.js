// The console: somebody gives a key, and sees of the gateway what the key is good for. Where one is, and what one looks at,
// stands in the address behind the "#"; the key stands nowhere.

import { render } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Api } from "./api.js";
import { Audit } from "./audit.js";
import { Bans } from "./bans.js";
import { Config } from "./config.js";
import { Extensions } from "./extensions.js";
import { Overview } from "./overview.js";
import { Rooms } from "./rooms.js";
import { Sessions } from "./sessions.js";
import { Slow } from "./slow.js";
import { html } from "./ui.js";
import { Webhooks } from "./webhooks.js";
import { Why } from "./why.js";

/** Views in the order of their keys 1 to 9 and 0; `whole` concerns the gateway, and `global` needs a key for all tenants. */
const VIEWS = [
  { id: "overview", name: "Overview", view: Overview, whole: true },
  { id: "sessions", name: "Sessions", view: Sessions },
  { id: "rooms", name: "Rooms", view: Rooms },
  { id: "why", name: "Why", view: Why },
  { id: "slow", name: "Slow", view: Slow },
  { id: "webhooks", name: "Webhooks", view: Webhooks },
  { id: "extensions", name: "Extensions", view: Extensions },
  { id: "config", name: "Configuration", view: Config, whole: true, global: true },
  { id: "bans", name: "Bans", view: Bans },
  { id: "audit", name: "Audit", view: Audit, whole: true },
];
/** Stands for all tenants, in the address and in the list. */
const ALL = "*";

function placeOf(hash) {
  const [way, query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  let parts;
  try {
    parts = way.split("/").map(decodeURIComponent);
  } catch {
    parts = [];
  }
  const [tenant = "", view = "overview", ...rest] = parts;
  return { tenant, view, rest: rest.filter((part) => part !== ""), query };
}

function Login({ enter }) {
  const [key, setKey] = useState(""), [error, setError] = useState(null), [busy, setBusy] = useState(false);
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    try {
      const api = new Api(key);
      const me = await api.get("/v1/me");
      const { tenants } = await api.get("/v1/tenants").catch(() => ({ tenants: [] }));
      enter({ api, me, tenants });
    } catch (fault) {
      setError(fault.status === 401 ? "There is no such key." : fault.message);
      setBusy(false);
    }
  };
  return html`
    <main class="login">
      <h1>wsPrism console</h1>
      <form onSubmit=${submit}>
        <label>Secret of an admin key
            <input type="password" autocomplete="off" required autofocus value=${key}
              onInput=${(event) => setKey(event.currentTarget.value)} /></label>
        <button disabled=${busy}>Enter</button>
        <p role="alert" class="wrong">${error}</p>
        <p class="faint">It is one of <code>admin.keys</code>, and stays in this tab's memory.</p>
      </form>
    </main>
  `;
}

function Console({ api, me, tenants: first, leave }) {
  const [place, setPlace] = useState(placeOf(location.hash)), [tenants, setTenants] = useState(first);
  const main = useRef(null);
  useEffect(() => {
    const move = () => {
      setPlace(placeOf(location.hash));
      api.get("/v1/tenants").then((found) => setTenants(found.tenants), () => {});
    };
    addEventListener("hashchange", move);
    return () => removeEventListener("hashchange", move);
  }, []);
  useEffect(() => {
    const press = (event) => {
      if (
        event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input,textarea,select,dialog")
      ) return;
      if (event.key === "/") {
        const search = document.querySelector(".search");
        if (search !== null) event.preventDefault();
        return search?.focus();
      }
      const view = VIEWS["1234567890".indexOf(event.key)];
      if (view !== undefined && event.key !== "" && mayEnter(view)) location.hash = hrefOf(view.id);
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, [place.tenant]);
  const mayEnter = (view) => !view.global || me.global;
  const known = VIEWS.find(({ id, ...view }) => id === place.view && mayEnter(view)) ?? VIEWS[0];
  const tenant = tenants.some(({ id }) => id === place.tenant) ? place.tenant : null;
  // A view of a tenant shows the first one where none is chosen.
  const isGlobal = known.id === "config" || known.id === "audit";
  const shown = isGlobal ? null : tenant ?? (known.whole ? null : tenants[0]?.id ?? null);
  const hrefOf = (view) => `#/${encodeURIComponent(tenant ?? ALL)}/${view}`;
  const go = (view, ...rest) =>
    location.hash = `#/${[shown ?? ALL, view, ...rest].map(encodeURIComponent).join("/")}`;
  useEffect(() => {
    document.title = `${known.name}${shown === null ? "" : ` of ${shown}`} – wsPrism console`;
  }, [known.name, shown]);
  const View = known.view;
  return html`
    <div>
      <a class="skip" href="#main" onClick=${(event) => {
        event.preventDefault();
        main.current.focus();
      }}>To the content</a>
      <header>
        <strong>wsPrism <span class="faint">${me.version}</span></strong>
        <label>Tenant <select value=${shown ?? tenant ?? ALL} onChange=${(event) => {
          location.hash = `#/${encodeURIComponent(event.currentTarget.value)}/${known.id}`;
        }}>
            <option value=${ALL}>all of this key</option>
            ${tenants.map(({ id, suspended }) =>
              html`<option value=${id}>${id}${suspended ? " (suspended)" : ""}</option>`
            )}
          </select></label>
        <span class="faint">key ${me.key}: ${me.permissions.join(", ")}</span>
        <button onClick=${leave}>Leave</button>
      </header>
      <nav aria-label="Views">
        <ul>${VIEWS.filter(mayEnter).map(({ id, name }) =>
          html`<li><a href=${hrefOf(id)}
      aria-current=${id === known.id ? "page" : undefined} title=${`Key ${
            (VIEWS.findIndex((one) => one.id === id) + 1) % 10
          }`}>${name}</a></li>`
        )}</ul>
      </nav>
      <main id="main" tabindex="-1" ref=${main}>
          <h1>${known.name}${shown === null ? "" : html`
            <span class="faint of">of ${shown}</span>
          `}</h1>
          ${!me.console &&
            html`<p class="fault" role="note">The configuration has <code>admin.console: false</code> now:
        nothing is kept for this page.</p>`}
          ${shown === null && !known.whole
            ? html`<p class="faint">There is no tenant that this key is good for.</p>`
            : html`
              <${View} key=${`${known.id} ${shown}`} ...${{ api, me, go }} tenant=${shown} rest=${place.rest}
                query=${place.query} />
            `}
        </main>
    </div>
  `;
}

function App() {
  const [entered, setEntered] = useState(null);
  if (entered === null) return html`<${Login} enter=${setEntered} />`;
  return html`<${Console} ...${entered} leave=${() => setEntered(null)} />`;
}

render(html`<${App} />`, document.getElementById("app"));
