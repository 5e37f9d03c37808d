// Who gets a message that somebody other than a client sends: members of rooms, users, sessions, or everybody. Written once
// for services, extensions, HTTP services and administrators. All of it is fanned out within the turn's budget.

import type { Frame } from "../protocol/frame.ts";
import type { Audience, Fanout, Line, Place } from "../room/fanout.ts";
import type { Published } from "../room/kept_room.ts";
import type { PublishOptions, Rooms } from "../room/rooms.ts";
import type { Registry } from "./registry.ts";
import type { Action, PublishAction, SendAction } from "../service/action.ts";
import type { SessionHandle } from "./session_handle.ts";

/** What one session is to do, or what becomes of it. */
export type SessionAction = Exclude<Action, PublishAction | SendAction>;

/** The tenant's sessions on other nodes. Each returns how many of them are known to get it. */
export interface TargetPeers {
  users(names: ReadonlySet<string>, frame: Frame, except: string | null): number;
  sessions(names: ReadonlySet<string>, frame: Frame, except: string | null): number;
  all(frame: Frame, except: string | null): number;
  /** Has a session do something. @returns false when no other node has it */
  act(session: string, action: SessionAction): boolean;
  /** Names a frame before anybody gets it, so that a session on its way between nodes gets it once. */
  name(frame: Frame): void;
}

export interface TargetsOptions {
  readonly rooms: Rooms;
  readonly registry: Registry<SessionHandle>;
  readonly fanout: Fanout;
  /** Null where there are no other nodes. */
  readonly peers: TargetPeers | null;
}

/** Each returns to how many sessions a frame goes, or `BUSY`; `except` is the name of one that is left out. */
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
    const { peers } = this.#options, users = new Set(names);
    this.#name(frame);
    return this.#and(this.usersHere(users, frame, except), () => peers!.users(users, frame, except));
  }

  sessions(names: Iterable<string>, frame: Frame, except: string | null): number {
    const { peers } = this.#options, sessions = new Set(names);
    this.#name(frame);
    return this.#and(
      this.sessionsHere(sessions, frame, except),
      () => peers!.sessions(sessions, frame, except),
    );
  }

  all(frame: Frame, except: string | null): number {
    const { peers } = this.#options;
    this.#name(frame);
    return this.#and(this.allHere(frame, except), () => peers!.all(frame, except));
  }

  /** The same three, of this node's sessions alone. */
  usersHere(names: Iterable<string>, frame: Frame, except: string | null): number {
    const { registry } = this.#options;
    return this.#send([...names].flatMap((user) => registry.ofUser(user)), frame, except);
  }

  sessionsHere(names: Iterable<string>, frame: Frame, except: string | null): number {
    const { registry } = this.#options;
    return this.#send([...names].flatMap((name) => registry.find(name) ?? []), frame, except);
  }

  allHere(frame: Frame, except: string | null): number {
    return this.#send([...this.#options.registry.all()], frame, except);
  }

  /** What waits in their line for a session that goes on elsewhere. */
  due(session: string): Frame[] {
    return this.#options.fanout.due(this.#line, session);
  }

  /** The tenant's sessions on other nodes; null where there are no other nodes. */
  get peers(): TargetPeers | null {
    return this.#options.peers;
  }

  /** To those who were looked for already, in a list that nobody changes any more. */
  places(members: readonly Place[], frame: Frame, except: string | null): number {
    // Never the same twice, so its number says nothing.
    const audience: Audience = { line: this.#line, members, version: 0 };
    return this.#options.fanout.publish(audience, frame, except);
  }

  #name(frame: Frame): void {
    if (frame.isExt) this.#options.peers?.name(frame);
  }

  #and(here: number, elsewhere: () => number): number {
    return here < 0 || this.#options.peers === null ? here : here + elsewhere();
  }

  #send(sessions: readonly SessionHandle[], frame: Frame, except: string | null): number {
    return this.places(sessions.map((subscriber, index) => ({ subscriber, index })), frame, except);
  }
}
