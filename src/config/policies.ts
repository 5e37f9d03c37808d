// What `gateway.quotas` and `tenants[].policy` must satisfy beyond each key's own range: bursts have a rate, rules fit the
// lane that they are for, schemas compile. Schema files are read here, so that a loaded configuration is complete and
// a bad schema stops the start, not the first message.

import { parseHotEntry } from "./allowlist.ts";
import { configuredFile } from "./configured_file.ts";
import { hasFormat, type SchemaCodes, SchemaCompiler } from "./data_schema.ts";
import type { ConfigIssue, Path } from "./issue.ts";
import { ruleSchema } from "./policy_schema.ts";
import type { RuleConfig } from "./schema.ts";
import type { Tree } from "./tree.ts";

/** Largest schema file, in bytes. */
const FILE_BYTES_MAX = 65_536;

/** The text of a rule's schema file. */
export interface FoundSchema {
  readonly tenant: number;
  readonly rule: number;
  readonly text: string;
}

export interface CheckedPolicies {
  readonly failures: readonly ConfigIssue[];
  readonly warnings: readonly ConfigIssue[];
  readonly schemas: readonly FoundSchema[];
  /** Of all of them. */
  readonly codes: SchemaCodes;
}

/** Checks the quotas of the gateway, and quotas and rules of every tenant. */
export function checkPolicies(
  tree: Tree,
  circumstances: { readonly read: (path: string) => Uint8Array },
): CheckedPolicies {
  const check = new PolicyCheck(tree, circumstances.read);
  check.bursts(["gateway", "quotas"]);
  const tenants = tree.at(["tenants"]);
  if (Array.isArray(tenants)) tenants.forEach((_, index) => check.tenant(index));
  return check;
}

/** Each burst and the rate that it belongs to. */
const BURSTS = [
  ["burst", "messages_per_second"],
  ["bytes_burst", "bytes_per_second"],
  ["outbound_bytes_burst", "outbound_bytes_per_second"],
] as const;

class PolicyCheck implements CheckedPolicies {
  readonly failures: ConfigIssue[] = [];
  readonly warnings: ConfigIssue[] = [];
  readonly schemas: FoundSchema[] = [];
  readonly codes = new Map<string, string>();
  readonly #tree: Tree;
  readonly #read: (path: string) => Uint8Array;
  /** Made when the first rule needs it. */
  #compiler: SchemaCompiler | null = null;

  constructor(tree: Tree, read: (path: string) => Uint8Array) {
    this.#tree = tree;
    this.#read = read;
  }

  bursts(path: Path): void {
    for (const [burst, rate] of BURSTS) {
      if (!this.#tree.has([...path, burst]) || this.#tree.has([...path, rate])) continue;
      this.#fail([...path, burst], `needs ${rate} beside it`);
    }
  }

  tenant(index: number): void {
    const path = ["tenants", index, "policy"];
    for (const level of ["tenant", "user", "session"]) this.bursts([...path, "quotas", level]);
    this.#overruled(path);
    const rules = this.#tree.at([...path, "rules"]);
    if (!Array.isArray(rules)) return;
    const first = new Map<string, number>();
    rules.forEach((value: unknown, at) => {
      const place = [...path, "rules", at];
      const parsed = ruleSchema.safeParse(value);
      // Faulty by itself: that is told elsewhere.
      if (!parsed.success) return;
      const { id } = parsed.data;
      const before = first.get(id);
      if (before === undefined) first.set(id, at);
      else this.#fail([...place, "id"], `must be unique, but rules[${before}] has the id "${id}" as well`);
      this.#lane(parsed.data, place);
      this.#schema(parsed.data, place, { tenant: index, rule: at });
    });
  }

  /** `quotas` go before wsPrism v1's keys, where both stand in the file. */
  #overruled(path: Path): void {
    for (const level of ["session", "tenant"]) {
      const key = [...path, "quotas", level, "messages_per_second"];
      if (!this.#tree.has(key) || !this.#tree.has([...path, "rate_limit_rps"])) continue;
      const scope = this.#tree.at([...path, "rate_limit_scope"]) ?? "connection";
      if (scope === (level === "session" ? "tenant" : "connection")) continue;
      this.#warn(key, `goes before rate_limit_rps, which says nothing for the ${level} then`);
    }
  }

  #lane({ match, schema, schema_text }: RuleConfig, path: Path): void {
    const { lane, service } = match;
    const at = [...path, "match", "service"];
    if (lane === "hot" && service !== undefined && !isHotService(service)) {
      this.#fail(at, `must be "svc_id:opcode" in numbers 0..255 on the hot lane, got ${this.#tree.show(at)}`);
    }
    if (schema === undefined && schema_text === undefined) return;
    const key = [...path, schema === undefined ? "schema_text" : "schema"];
    if (lane === "hot") this.#fail(key, "is for the ext lane: hot messages have no data that it could know");
    else if (lane === undefined && (service === undefined || isHotService(service))) {
      this.#fail(key, 'needs match.lane "ext", as hot messages have no data that it could know');
    }
  }

  #schema({ schema, schema_text }: RuleConfig, path: Path, at: { tenant: number; rule: number }): void {
    if (schema !== undefined && schema_text !== undefined) {
      this.#fail([...path, "schema_text"], "does not go with schema, which says the same");
      return;
    }
    const key = [...path, schema === undefined ? "schema_text" : "schema"];
    const text = schema === undefined ? schema_text : this.#file(schema, key);
    if (text === undefined || text === null) return;
    const compiled = this.#compile(text);
    if (typeof compiled === "string") {
      this.#fail(key, schema === undefined ? compiled : `must name a JSON Schema, but the file ${compiled}`);
      return;
    }
    if (hasFormat(text)) this.#warn(key, "has a format, which is not checked: use pattern");
    this.schemas.push({ ...at, text });
  }

  /** Once for all rules with the same text. */
  #compile(text: string): string | null {
    if (this.codes.has(text)) return null;
    const compiled = (this.#compiler ??= new SchemaCompiler()).compile(text);
    if (typeof compiled === "string") return compiled;
    this.codes.set(text, compiled.code);
    return null;
  }

  #file(name: string, path: Path): string | null {
    const content = configuredFile(this.#read, name, FILE_BYTES_MAX);
    if (typeof content === "string") return content;
    this.#fail(path, content.fault);
    return null;
  }

  #fail(path: Path, message: string): void {
    this.failures.push(this.#tree.issue(path, message));
  }

  #warn(path: Path, message: string): void {
    this.warnings.push(this.#tree.issue(path, message));
  }
}

/** Whether a rule's `service` can be one of the hot lane: numbers and `*`. */
export function isHotService(service: string): boolean {
  if (service === "*" || service === "*:*") return true;
  return parseHotEntry(service.startsWith("*:") ? service.replace("*", "0") : service) !== undefined;
}
