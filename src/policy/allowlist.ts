// Allowlists, compiled: a message's verdict is one or two lookups by values that are already at hand.
// Nothing listed, nothing allowed.

/** Which message types of which services a tenant's clients may send. */
export class ExtAllowlist {
  /** Per service: the allowed types, or null for all of them. */
  readonly #types = new Map<string, Set<string> | null>();

  /** @param entries checked by the schema: "svc:type" or "svc:*". */
  constructor(entries: readonly string[]) {
    for (const entry of entries) {
      const at = entry.indexOf(":");
      const svc = entry.slice(0, at), type = entry.slice(at + 1);
      const types = this.#types.get(svc);
      if (type === "*") this.#types.set(svc, null);
      else if (types === undefined) this.#types.set(svc, new Set([type]));
      else types?.add(type);
    }
  }

  /** What both this list and the entries allow. */
  within(entries: readonly string[]): ExtAllowlist {
    const other = new ExtAllowlist(entries), both = new ExtAllowlist([]);
    for (const [svc, theirs] of other.#types) {
      const ours = this.#types.get(svc);
      if (ours === undefined) continue;
      const types = ours === null
        ? theirs
        : theirs === null
        ? ours
        : new Set([...theirs].filter((t) => ours.has(t)));
      both.#types.set(svc, types);
    }
    return both;
  }

  allows(svc: string, type: string): boolean {
    const types = this.#types.get(svc);
    return types === null || (types !== undefined && types.has(type));
  }
}

const ALL = new Uint8Array(256).fill(1);

/** Which opcodes of which hot services a tenant's clients may send. */
export class HotAllowlist {
  /** By service id; a row has a 1 for each allowed opcode, and rows exist for listed services only. */
  readonly #rows: (Uint8Array | undefined)[] = new Array(256).fill(undefined);

  /** @param entries checked by the schema: "svc_id:opcode" or "svc_id:*". */
  constructor(entries: readonly string[]) {
    for (const entry of entries) {
      const at = entry.indexOf(":");
      const svcId = Number(entry.slice(0, at)), opcode = entry.slice(at + 1);
      const row = this.#rows[svcId];
      if (opcode === "*") this.#rows[svcId] = ALL;
      else if (row !== ALL) (this.#rows[svcId] = row ?? new Uint8Array(256))[Number(opcode)] = 1;
    }
  }

  /** What both this list and the entries allow. */
  within(entries: readonly string[]): HotAllowlist {
    const other = new HotAllowlist(entries), both = new HotAllowlist([]);
    other.#rows.forEach((theirs, svcId) => {
      const ours = this.#rows[svcId];
      if (ours === undefined || theirs === undefined) return;
      both.#rows[svcId] = ours === ALL
        ? theirs
        : theirs === ALL
        ? ours
        : ours.map((bit, i) => bit & theirs[i]!);
    });
    return both;
  }

  allows(svcId: number, opcode: number): boolean {
    const row = this.#rows[svcId];
    return row !== undefined && row[opcode] === 1;
  }
}
