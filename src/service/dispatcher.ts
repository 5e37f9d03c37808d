// A tenant's services, found by what a message carries: a name on the ext lane, a number on the hot lane.

import type { Refusal } from "../protocol/codes.ts";
import type { Envelope } from "../protocol/envelope.ts";
import { HOT_AT } from "../protocol/hot.ts";
import type { Membership } from "../room/rooms.ts";
import { type Answer, type Context, type ExtService, type HotService, UNKNOWN_SERVICE } from "./service.ts";

/** Who answers a tenant's messages. */
export interface AnyDispatcher {
  ext(context: Context, message: Envelope): Answer | Promise<Answer>;
  hot(context: Context, frame: Uint8Array): Refusal | null;
  /** A member's client is back, or is given a room's history: services whose messages it missed bring it up to date. */
  resumed(membership: Membership): void;
}

export class Dispatcher implements AnyDispatcher {
  readonly #ext: ReadonlyMap<string, ExtService>;
  readonly #hot: (HotService | undefined)[] = new Array(256).fill(undefined);

  constructor(ext: ReadonlyMap<string, ExtService>, hot: ReadonlyMap<number, HotService>) {
    this.#ext = ext;
    for (const [id, service] of hot) this.#hot[id] = service;
  }

  ext(context: Context, message: Envelope): Answer | Promise<Answer> {
    const service = this.#ext.get(message.svc);
    return service === undefined ? UNKNOWN_SERVICE : service.handle(context, message);
  }

  hot(context: Context, frame: Uint8Array): Refusal | null {
    const service = this.#hot[frame[HOT_AT.svcId]!];
    return service === undefined ? UNKNOWN_SERVICE : service.handle(context, frame);
  }

  resumed(membership: Membership): void {
    for (const service of this.#hot) service?.resumed?.(membership);
  }
}
