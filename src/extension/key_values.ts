// `ctx.kv` of one extension: values as JSON in a table of its own. Its keys and values are checked here, its size by the
// table; what the table cannot do is refused.

import { type Refusal, refusal } from "../protocol/codes.ts";
import { parseJson } from "../protocol/json.ts";
import type { Share } from "../outbound/inflow.ts";
import { isData } from "../service/action.ts";
import type { Table } from "../state/table.ts";
import type { RawRequest } from "./host_events.ts";

/** What is handed back, as a value or as JSON already, or why nothing is. */
export type Granted =
  | { readonly ok: true; readonly value?: unknown; readonly json?: never }
  | { readonly ok: true; readonly json: string }
  | Refusal;

const KEY_CHARS_MAX = 256;
const TTL_MS_MAX = 315_360_000_000; // ten years
const LIST_MAX = 1000;
/** Characters of values after which a list ends early; the rest is asked for with `after`. */
const LIST_CHARS_MAX = 1_048_576;
/** Characters of them that are read in one go, which takes some tenths of a millisecond; others have their turn in between. */
const SLICE_CHARS = 65_536;

const BAD_KEY = refusal("BAD_REQUEST", `kv: key must be a text of 1..${KEY_CHARS_MAX} characters`);
const BAD_VALUE = refusal("BAD_REQUEST", "kv: value must be one that JSON has, and not nested too deep");
const BAD_TTL = refusal("BAD_REQUEST", `kv: ttl_ms must be a whole number 1..${TTL_MS_MAX}`);
const BAD_BY = refusal("BAD_REQUEST", "kv: increment needs a finite number");
const BAD_LIST = refusal("BAD_REQUEST", `kv: list takes { prefix, after, limit }, limit 1..${LIST_MAX}`);
const FULL = refusal("RESOURCE_EXHAUSTED", "kv: all of kv_max_bytes is in use");
const NO_SUM = refusal("BAD_REQUEST", "kv: value is no number, or all of kv_max_bytes is in use");
const FAILED = refusal("UNAVAILABLE", "kv: the state cannot be read or written now");

export class KeyValues {
  readonly #table: () => Table;
  readonly #unixMs: () => number;
  readonly #share: Share;

  /**
   * @param table asked for at each use, so that a state is opened by those only who keep something
   * @param unixMs Unix time in milliseconds
   * @param share the tenant's, of the loop's time
   */
  constructor(table: () => Table, unixMs: () => number, share: Share) {
    this.#table = table;
    this.#unixMs = unixMs;
    this.#share = share;
  }

  /** Does it. @param verb what stands behind "kv." @returns null where there is no such verb. Never rejects */
  run(verb: string, request: RawRequest): Promise<Granted> | Granted | null {
    switch (verb) {
      case "get":
        return this.#withKey(request, async (key) => {
          const entry = await this.#table().get(key);
          return entry === null ? { ok: true } : { ok: true, value: parseJson(entry.value) };
        });
      case "set":
        return this.#set(request);
      case "delete":
        return this.#withKey(request, async (key) => ({ ok: true, value: await this.#table().delete(key) }));
      case "increment":
        return this.#increment(request);
      case "list":
        return this.#list(request);
      default:
        return null;
    }
  }

  #set(request: RawRequest): Promise<Granted> | Granted {
    // First how deep it is: writing it takes as long as that.
    if (request["value"] === undefined || !isData(request["value"])) return BAD_VALUE;
    const value = JSON.stringify(request["value"]);
    const expiresMs = this.#expiry(request);
    if (expiresMs === undefined) return BAD_TTL;
    return this.#withKey(
      request,
      async (key) => await this.#table().put({ key, value, expiresMs }) ? { ok: true } : FULL,
    );
  }

  #increment(request: RawRequest): Promise<Granted> | Granted {
    const { by } = request;
    if (typeof by !== "number" || !Number.isFinite(by)) return BAD_BY;
    const expiresMs = this.#expiry(request);
    if (expiresMs === undefined) return BAD_TTL;
    return this.#withKey(request, async (key) => {
      const sum = await this.#table().increment(key, by, expiresMs);
      return sum === null ? NO_SUM : { ok: true, value: sum };
    });
  }

  #list({ prefix = "", after = "", limit = 100 }: RawRequest): Promise<Granted> | Granted {
    const isGood = typeof prefix === "string" && prefix.length <= KEY_CHARS_MAX &&
      typeof after === "string" &&
      after.length <= KEY_CHARS_MAX && Number.isInteger(limit) && (limit as number) >= 1 &&
      (limit as number) <= LIST_MAX;
    if (!isGood) return BAD_LIST;
    return safely(async () => {
      const entries = await this.#table().list({ prefix, after, limit: limit as number });
      let chars = 0, sliceFrom = 0;
      const found: string[] = [];
      for (const { key, value } of entries) {
        chars += key.length + value.length;
        if (chars > LIST_CHARS_MAX && found.length > 0) break;
        if (chars - sliceFrom > SLICE_CHARS) {
          await this.#share.turn();
          sliceFrom = chars;
        }
        // Read first: a damaged state is to end here.
        found.push(this.#share.work(() => JSON.stringify({ key, value: parseJson(value) })));
      }
      return { ok: true, json: `[${found.join()}]` };
    });
  }

  #withKey({ key }: RawRequest, task: (key: string) => Promise<Granted>): Promise<Granted> | Granted {
    if (typeof key !== "string" || key.length === 0 || key.length > KEY_CHARS_MAX || !key.isWellFormed()) {
      return BAD_KEY;
    }
    return safely(() => task(key));
  }

  /** When it goes: null for never, undefined where the request is wrong about it. */
  #expiry({ ttl_ms: ttl = null }: RawRequest): number | null | undefined {
    if (ttl === null) return null;
    const isGood = Number.isInteger(ttl) && (ttl as number) >= 1 && (ttl as number) <= TTL_MS_MAX;
    return isGood ? this.#unixMs() + (ttl as number) : undefined;
  }
}

async function safely(task: () => Promise<Granted>): Promise<Granted> {
  try {
    return await task();
  } catch { // The state has told the log why.
    return FAILED;
  }
}
