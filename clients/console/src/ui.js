// What all views are made of: tables, tiles, buttons that ask before they act, numbers for people, and looking again now
// and then while somebody sees the page.

import { h } from "preact";
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import htm from "htm";

export const html = htm.bind(h);

const UNITS = ["", "k", "M", "G", "T"];

/** A number in a few characters. */
export function short(value, unit = "") {
  if (value === null || value === undefined) return "–";
  let at = 0;
  while (Math.abs(value) >= 9999.5 && at < UNITS.length - 1) {
    value /= 1000;
    at++;
  }
  const digits = Math.abs(value) < 9.95 && !Number.isInteger(value) ? 1 : 0;
  return `${value.toFixed(digits)}${at > 0 || unit !== "" ? " " : ""}${UNITS[at]}${unit}`;
}

export const bytes = (value) => short(value, "B");

/** A stretch of time for people. */
export function duration(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
}

/** A moment. */
export function time(ms) {
  if (ms === null || ms === undefined) return "–";
  const date = new Date(ms), clock = date.toLocaleTimeString([], { hour12: false });
  return date.toDateString() === new Date().toDateString() ? clock : `${date.toLocaleDateString()} ${clock}`;
}

/**
 * Asks again every so often while the page is seen. What was found last stays until there is something new.
 * @returns {{data: any, error: any, again: () => void}}
 */
export function useLive(ask, everyMs, deps) {
  const [found, setFound] = useState({ data: null, error: null });
  const turn = useRef(0);
  const again = useCallback(async () => {
    const mine = ++turn.current;
    try {
      const data = await ask();
      if (mine === turn.current) setFound({ data, error: null });
    } catch (error) {
      if (mine === turn.current) setFound((before) => ({ ...before, error }));
    }
  }, deps);
  useEffect(() => {
    setFound({ data: null, error: null });
    void again();
    const timer = everyMs > 0 ? setInterval(() => document.hidden || again(), everyMs) : 0;
    return () => {
      turn.current++;
      clearInterval(timer);
    };
  }, deps);
  return { ...found, again };
}

/** Why something could not be shown. */
export function Fault({ error }) {
  if (!error) return null;
  return html`<div class="fault" role="alert">
    <p>${error.message}</p>
    ${error.failures?.length > 0 && html`<ul>${error.failures.map((one) => html`<li>${one}</li>`)}</ul>`}
  </div>`;
}

/** Rows under heads; a row is a list of cells, and its first is what it is about. */
export function Table({ label, heads, rows, empty = "Nothing.", numeric = [] }) {
  if (rows === null) return html`<p class="faint">Looking…</p>`;
  if (rows.length === 0) return html`<p class="faint">${empty}</p>`;
  const kind = (i) => numeric.includes(i) ? "number" : "";
  return html`
    <div class="scroll" tabindex="0" role="region" aria-label=${label}>
      <table>
        <caption class="hidden">${label}</caption>
        <thead>
          <tr>${heads.map((head, i) => html`<th scope="col" class=${kind(i)}>${head}</th>`)}</tr>
        </thead>
        <tbody>
            ${rows.map((row) =>
              html`<tr>${row.map((cell, i) => html`<td class=${kind(i)}>${cell}</td>`)}</tr>`
            )}
          </tbody>
      </table>
    </div>
  `;
}

/** Pages of a list, one below the other. */
export function Pages({ api, url, field, everyMs = 5000, children, deps = [] }) {
  const [cursors, setCursors] = useState([null]);
  const cursor = cursors.at(-1);
  const next = cursor === null ? "" : `${url.includes("?") ? "&" : "?"}cursor=${encodeURIComponent(cursor)}`;
  const { data, error, again } = useLive(() => api.get(url + next), everyMs, [url, cursor, ...deps]);
  useEffect(() => setCursors([null]), [url, ...deps]);
  return html`<div>
    <${Fault} error=${error} />
    ${children(data === null ? null : data[field], again)}
    <p class="pager">
      ${
    cursors.length > 1 &&
    html`<button onClick=${() => setCursors(cursors.slice(0, -1))}>Previous page</button>`
  }
      ${data?.next && html`<button onClick=${() => setCursors([...cursors, data.next])}>Next page</button>`}
    </p>
  </div>`;
}

/** One number with its name. */
export function Tile({ name, value, note, bad }) {
  return html`<div class=${bad ? "tile bad" : "tile"}><dt>${name}</dt><dd>${value}</dd>
    ${note && html`<dd class="note">${note}</dd>`}</div>`;
}

/** A button that says what it will do, asks, does it and tells what came of it. */
export function Act({ label, ask, act, done, disabled, danger = true }) {
  const dialog = useRef(null), [state, setState] = useState({ busy: false, error: null, said: null });
  const go = async () => {
    setState({ busy: true, error: null, said: null });
    try {
      const said = await act();
      dialog.current.close();
      setState({ busy: false, error: null, said });
      done?.();
    } catch (error) {
      setState({ busy: false, error, said: null });
    }
  };
  if (disabled) return html`<button disabled title=${disabled}>${label}</button>`;
  return html`<span>
    <button class=${danger ? "danger" : ""} onClick=${() => dialog.current.showModal()}>${label}</button>
    <dialog ref=${dialog} aria-label=${label}>
      <p>${ask}</p>
      <${Fault} error=${state.error} />
      <p class="actions">
        <button class="danger" disabled=${state.busy} onClick=${go}>${label}</button>
        <button onClick=${() => dialog.current.close()}>Cancel</button>
      </p>
    </dialog>
    ${state.said && html`<span role="status" class="said">${state.said}</span>`}
  </span>`;
}

/** A name, or a message, as it came: nothing in it is anything but text. */
export function Code({ text }) {
  return html`<code>${text === null || text === undefined ? "–" : text}</code>`;
}

/** Where the file says so. */
export function Place({ path, line }) {
  if (path === null || path === undefined) return html`<span class="faint">built in</span>`;
  return html`<span><code>${path}</code> ${
    line === null ? html`<span class="faint">default</span>` : `line ${line}`
  }</span>`;
}

/** Of a long text, what is shown before somebody asks for the rest. */
const SHOWN_MAX = 300;

/** A message, or another long text, as it came. */
export function Message({ text }) {
  if (text === null) return html`<span class="faint">too long to be kept</span>`;
  if (text.length <= SHOWN_MAX) return html`<code class="message">${text}</code>`;
  return html`<details><summary><code class="message">${text.slice(0, SHOWN_MAX)}…</code></summary>
    <code class="message">${text}</code></details>`;
}
