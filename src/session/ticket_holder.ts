// Who a session is, and what its ticket lets it do until when: the part of a session that a new ticket replaces. A class to
// be extended rather than an object of its own, because there are a million sessions.

import { ROOM_NOT_ALLOWED } from "../policy/denial.ts";
import type { SessionPolicyState } from "../policy/input.ts";
import type { Narrowing } from "../policy/narrowing.ts";
import type { TenantPolicy } from "../policy/policy.ts";
import type { Refusal } from "../protocol/codes.ts";
import { type DeadlineOwner, Deadlines } from "./deadlines.ts";
import { type Claims, type Grant, type Identity, rightOf } from "./grant.ts";
import type { TenantSettings } from "./settings.ts";
import type { Tenant } from "./tenant.ts";

export abstract class TicketHolder implements DeadlineOwner {
  readonly user: string;
  readonly sid: string;
  readonly session: string;
  readonly traceId: string;
  address: string;
  addressGroup: string;
  readonly cbor: boolean;
  policy: TenantPolicy;
  claims: Claims;
  ticketId: string | null;
  issuedAtMs: number | null;
  protected readonly home: Tenant;
  /** What `policy` was made from. */
  #settings: TenantSettings;
  #narrowing: Narrowing;
  /** Null where none is to be met. */
  #deadlines: Deadlines | null = null;

  constructor(tenant: Tenant, identity: Identity) {
    this.home = tenant;
    this.user = identity.grant.user;
    this.sid = identity.sid;
    this.session = identity.session;
    this.traceId = identity.traceId;
    this.address = identity.address;
    this.addressGroup = identity.addressGroup;
    this.cbor = identity.cbor;
    const { grant } = identity;
    this.#settings = tenant.settings;
    this.#narrowing = grant.narrowing;
    this.policy = this.#settings.policy.narrowed(grant.narrowing);
    ({ claims: this.claims, ticketId: this.ticketId, issuedAtMs: this.issuedAtMs } = grant);
    this.#limit(grant);
  }

  abstract readonly awayUntil: number;
  abstract rightEndsSoon(leftMs: number): void;
  abstract rightEnded(): void;
  abstract expire(): void;
  abstract overflow(): void;

  get tenant(): string {
    return this.home.id;
  }

  get narrowing(): Narrowing {
    return this.#narrowing;
  }

  mayExt(svc: string, type: string): boolean {
    return this.policy.allowsExt(svc, type);
  }

  /** @returns why its ticket keeps it out of this room, or null */
  protected roomRefusal(room: string): Refusal | null {
    return this.#narrowing.rooms?.allows(room) === false ? ROOM_NOT_ALLOWED : null;
  }

  /** Its tenant's settings are those by which it goes. */
  protected get isCurrent(): boolean {
    return this.#settings === this.home.settings;
  }

  /** Takes over what holds now: at a new ticket, and with the first message after a reload. */
  protected apply(inbound: SessionPolicyState | null, now: number): void {
    this.#settings = this.home.settings;
    const policy = this.#settings.policy.narrowed(this.#narrowing);
    if (policy === this.policy) return;
    this.policy = policy;
    if (inbound !== null) this.policy.applyTo(inbound, now);
  }

  /** Goes by another ticket. @returns the former one's name */
  protected hold(grant: Grant, inbound: SessionPolicyState | null): string | null {
    this.#narrowing = grant.narrowing;
    this.apply(inbound, this.home.gateway.now());
    const { ticketId: former } = this;
    ({ claims: this.claims, ticketId: this.ticketId, issuedAtMs: this.issuedAtMs } = grant);
    this.#limit(grant);
    return former;
  }

  /** When its right ends, on the gateway's clock; infinite for never. */
  protected get rightEndsAt(): number {
    return this.#deadlines?.endsAt ?? Number.POSITIVE_INFINITY;
  }

  schedule(): void {
    if (this.#deadlines === null && this.awayUntil === Number.POSITIVE_INFINITY) return;
    const { wheel, now } = this.home.gateway;
    (this.#deadlines ??= new Deadlines(this)).schedule(wheel, now());
  }

  /** Has `overflow` called as soon as this call is over. */
  protected scheduleOverflow(): void {
    (this.#deadlines ??= new Deadlines(this)).overflowed = true;
    this.schedule();
  }

  protected unschedule(): void {
    if (this.#deadlines !== null) this.home.gateway.wheel.cancel(this.#deadlines);
  }

  protected get who(): { tenant: string; user: string; session: string; trace_id: string } {
    return { tenant: this.tenant, user: this.user, session: this.session, trace_id: this.traceId };
  }

  /** Notes until when its right lasts. */
  #limit(grant: Grant): void {
    const { gateway, settings } = this.home;
    const { endsAt, warnAt } = rightOf(grant, gateway, settings.authenticator.expiryWarningMs);
    if (this.#deadlines === null && endsAt === Number.POSITIVE_INFINITY) return;
    const deadlines = this.#deadlines ??= new Deadlines(this);
    deadlines.endsAt = endsAt;
    deadlines.warnAt = warnAt;
  }
}
