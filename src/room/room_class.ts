// Classes of rooms: what a room keeps, and whether its members are told of each other, by its name.

import { Patterns } from "../protocol/patterns.ts";
import type { HistoryBounds } from "./history.ts";

export interface RoomClass {
  /** Null where nothing is kept. */
  readonly history: HistoryBounds | null;
  /** The names of its rooms, as the configuration has them. */
  readonly match: string;
  /** Where it is kept: gone with this process, on this node's disk, or shared by all nodes. */
  readonly store: "memory" | "disk" | "nats";
  /** Members are told of joins and leaves without asking. */
  readonly presence: boolean;
}

/** A class as the configuration has it. */
export interface RoomClassSpec {
  readonly match: string;
  readonly history?: {
    readonly max_messages: number;
    readonly max_bytes: number;
    readonly max_age_ms: number;
    readonly store: "memory" | "disk" | "nats";
  } | undefined;
  readonly presence: boolean;
}

export class RoomClasses {
  readonly #classes: readonly { readonly names: Patterns; readonly class: RoomClass }[];

  constructor(specs: readonly RoomClassSpec[]) {
    this.#classes = specs.map(({ match, history, presence }) => ({
      names: new Patterns([match]),
      class: {
        history: history === undefined ? null : {
          maxMessages: history.max_messages,
          maxBytes: history.max_bytes,
          maxAgeMs: history.max_age_ms,
        },
        match,
        store: history?.store ?? "memory",
        presence,
      },
    }));
  }

  /** Whether no room is other than all rooms were before there were classes. */
  get isEmpty(): boolean {
    return this.#classes.length === 0;
  }

  /** All of them, the first first. */
  get all(): readonly RoomClass[] {
    return this.#classes.map((one) => one.class);
  }

  /** The first class that has a room of this name; null where none has. */
  of(name: string): RoomClass | null {
    return this.#classes.find(({ names }) => names.allows(name))?.class ?? null;
  }
}
