// Who gets a message that somebody other than a client sends: members of rooms, users, sessions, or everybody. Written once
// for services, extensions, HTTP services and administrators. All of it is fanned out within the turn's budget.

import type { Frame } from "../protocol/frame.ts";
import type { Audience, Fanout, Line, Place } from "../room/fanout.ts";
import type { Published } from "../room/kept_room.ts";
import type { PublishOptions, Rooms } from "../room/rooms.ts";
import type { Registry } from "./registry.ts";
import type { SessionHandle } from "./session_handle.ts";

export interface TargetsOptions {
  readonly rooms: Rooms;
  readonly registry: Registry<SessionHandle>;
  readonly fanout: Fanout;
}

/** Each returns to how many sessions of this node a frame goes, or `BUSY`; `except` is the name of one that is left out. */
export class Targets {
  readonly #options: TargetsOptions;
  /** What does not go to rooms: none of it overtakes any other of it. */
  readonly #line: Line;

  constructor(options: TargetsOptions) {
    this.#options = options;
    this.#line = { delivered: options.rooms.delivered };
  }

  /** As `Rooms.publish`. */
  room(name: string, frame: Frame, to: PublishOptions): Published {
    const { rooms } = this.#options;
    return frame.isExt ? rooms.publish(name, frame, to) : rooms.publishHot(name, frame, to);
  }

  users(names: Iterable<string>, frame: Frame, except: string | null): number {
    const { registry } = this.#options;
    return this.#send([...new Set(names)].flatMap((user) => registry.ofUser(user)), frame, except);
  }

  sessions(names: Iterable<string>, frame: Frame, except: string | null): number {
    const { registry } = this.#options;
    return this.#send([...new Set(names)].flatMap((name) => registry.find(name) ?? []), frame, except);
  }

  all(frame: Frame, except: string | null): number {
    return this.#send([...this.#options.registry.all()], frame, except);
  }

  /** To those who were looked for already, in a list that nobody changes any more. */
  places(members: readonly Place[], frame: Frame, except: string | null): number {
    // Never the same twice, so its number says nothing.
    const audience: Audience = { line: this.#line, members, version: 0 };
    return this.#options.fanout.publish(audience, frame, except);
  }

  #send(sessions: readonly SessionHandle[], frame: Frame, except: string | null): number {
    return this.places(sessions.map((subscriber, index) => ({ subscriber, index })), frame, except);
  }
}
