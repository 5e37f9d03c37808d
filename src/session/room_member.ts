// A ticket holder in rooms: those it is in, and the one where its hot frames go. A class to be extended, like the one below
// it, because there are a million sessions.

import type { Refusal } from "../protocol/codes.ts";
import { sysLeft } from "../protocol/sys.ts";
import type { Frame } from "../protocol/frame.ts";
import type { Membership, Subscriber } from "../room/rooms.ts";
import { type Joined, membershipIn, membershipsOf, withMembership, withoutMembership } from "./joined.ts";
import { SESSION_ENDED } from "./session_handle.ts";
import { TicketHolder } from "./ticket_holder.ts";

export abstract class RoomMember extends TicketHolder implements Subscriber {
  #joined: Joined = null;
  #active: Membership | null = null;

  /** From its greeting to its end. */
  abstract readonly isOpen: boolean;
  abstract receive(frame: Frame): void;
  abstract deliver(frame: Frame): void;

  get memberships(): ReadonlyMap<string, Membership> {
    return membershipsOf(this.#joined);
  }

  get active(): Membership | null {
    return this.#active;
  }

  membership(room: string): Membership | undefined {
    return membershipIn(this.#joined, room);
  }

  join(room: string): Membership | Refusal {
    // A service that answers later may still hold its context.
    if (!this.isOpen) return SESSION_ENDED;
    let membership = this.membership(room);
    if (membership === undefined) {
      const refused = this.roomRefusal(room);
      if (refused !== null) return refused;
      const joined = this.home.rooms.join(room, this);
      if ("ok" in joined) return joined;
      membership = joined;
      this.#joined = withMembership(this.#joined, membership);
    }
    this.#active = membership;
    return membership;
  }

  leave(membership: Membership): void {
    // The membership may be an older one: the session can have left the room and joined it again since.
    if (this.membership(membership.room.name) !== membership) return;
    this.#joined = withoutMembership(this.#joined, membership);
    if (this.#active === membership) this.#active = null;
    this.home.rooms.leave(membership);
  }

  /** It is in this room from now on, as it was on another node. */
  protected enter(membership: Membership, isActive: boolean): void {
    this.#joined = withMembership(this.#joined, membership);
    if (isActive) this.#active = membership;
  }

  /** It is in no room from now on. @returns those it was in, of which the rooms have to hear */
  protected leaveAll(): Iterable<Membership> {
    const { memberships } = this;
    this.#active = null;
    this.#joined = null;
    return memberships.values();
  }

  /** Leaves the rooms that its ticket does not let it be in any more. */
  protected leaveForbidden(): void {
    for (const membership of [...this.memberships.values()]) {
      const { name } = membership.room;
      if (this.roomRefusal(name) === null) continue;
      this.leave(membership);
      this.deliver(sysLeft(this.traceId, name, null));
    }
  }
}
