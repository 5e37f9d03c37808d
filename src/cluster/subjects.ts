// The names of what nodes publish and listen to. Tokens of a subject may hold any text but spaces, dots and wildcards;
// names that need more are written in base64url behind a tilde, which no plain name has.

import { Buffer } from "node:buffer";

/** Into how many groups a tenant's rooms fall, each of which can be listened to as a whole. */
const SHARDS = 64;
const PLAIN = /^[A-Za-z0-9_:-]{1,128}$/;

export class Subjects {
  readonly #prefix: string;

  /** @param prefix plain, as the configuration has it */
  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** What every node hears. */
  get all(): string {
    return `${this.#prefix}.n`;
  }

  /** What one node hears alone. */
  node(incarnation: string): string {
    return `${this.#prefix}.n.${incarnation}`;
  }

  /** What is said reliably in a room, and what is said on its hot lane. */
  room(lane: "m" | "h", tenant: string, room: string): string {
    return `${this.#prefix}.${lane}.${token(tenant)}.${shardOf(room)}.${token(room)}`;
  }

  /** The same of all rooms of a tenant in one group. */
  shard(lane: "m" | "h", tenant: string, shard: number): string {
    return `${this.#prefix}.${lane}.${token(tenant)}.${shard}.*`;
  }

  /** What a gateway publishes and listens to, for permissions. */
  get every(): string {
    return `${this.#prefix}.>`;
  }
}

export function token(name: string): string {
  return PLAIN.test(name) ? name : `~${Buffer.from(name).toString("base64url")}`;
}

/** The group of a room: FNV-1a, which every node reckons alike. */
export function shardOf(room: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < room.length; i++) hash = Math.imul(hash ^ room.charCodeAt(i), 0x01000193);
  return (hash >>> 0) % SHARDS;
}
