// Which rules a message has to do with, found by what it carries: tables made once, so that a message which no rule is
// about pays one lookup. Lists are in the order of the file and shared wherever they are the same.

import { hotNumbers, type Rule } from "./rule.ts";

/** No rule. */
export const NO_RULES: readonly Rule[] = [];

/** Rules by message type; `rest` for types that no rule names. */
interface Types {
  readonly named: Map<string, readonly Rule[]>;
  readonly rest: readonly Rule[];
}

export class RuleTable {
  /** By service; null where no rule is about the ext lane. */
  readonly #ext: { readonly named: Map<string, Types>; readonly rest: Types } | null;
  /** By service id: one list for each opcode, or null where no rule is about the service. */
  readonly #hot: readonly (readonly (readonly Rule[])[] | null)[] | null;

  constructor(rules: readonly Rule[]) {
    this.#ext = extTable(rules.filter(({ ext }) => ext !== null));
    this.#hot = hotTable(rules.filter(({ hot }) => hot !== null));
  }

  ext(svc: string, type: string): readonly Rule[] {
    const table = this.#ext;
    if (table === null) return NO_RULES;
    const types = table.named.get(svc) ?? table.rest;
    return types.named.get(type) ?? types.rest;
  }

  hot(svcId: number, opcode: number): readonly Rule[] {
    const row = this.#hot === null ? null : this.#hot[svcId]!;
    return row === null ? NO_RULES : row[opcode]!;
  }
}

function extTable(rules: readonly Rule[]): { named: Map<string, Types>; rest: Types } | null {
  if (rules.length === 0) return null;
  const named = new Map<string, Types>();
  for (const { ext } of rules) {
    const svc = ext!.svc;
    if (svc === undefined || named.has(svc)) continue;
    named.set(svc, typesOf(rules.filter((rule) => rule.ext!.svc === undefined || rule.ext!.svc === svc)));
  }
  return { named, rest: typesOf(rules.filter((rule) => rule.ext!.svc === undefined)) };
}

function typesOf(rules: readonly Rule[]): Types {
  const named = new Map<string, readonly Rule[]>();
  for (const { ext } of rules) {
    const type = ext!.type;
    if (type === undefined || named.has(type)) continue;
    named.set(type, rules.filter((rule) => rule.ext!.type === undefined || rule.ext!.type === type));
  }
  return { named, rest: rules.filter((rule) => rule.ext!.type === undefined) };
}

function hotTable(rules: readonly Rule[]): (readonly (readonly Rule[])[] | null)[] | null {
  if (rules.length === 0) return null;
  const numbered = rules.map((rule) => ({ rule, ...hotNumbers(rule.hot!) }));
  const rowOf = (some: typeof numbered): (readonly Rule[])[] | null => {
    if (some.length === 0) return null;
    const any = some.filter(({ opcode }) => opcode === null).map(({ rule }) => rule);
    const row = new Array<readonly Rule[]>(256).fill(any);
    for (const { opcode: named } of some) {
      if (named === null) continue;
      row[named] = some.filter(({ opcode }) => opcode === null || opcode === named).map(({ rule }) => rule);
    }
    return row;
  };
  const rest = rowOf(numbered.filter(({ svcId }) => svcId === null));
  const table = new Array<(readonly Rule[])[] | null>(256).fill(rest);
  for (const { svcId: named } of numbered) {
    if (named === null) continue;
    table[named] = rowOf(numbered.filter(({ svcId }) => svcId === null || svcId === named));
  }
  return table;
}
