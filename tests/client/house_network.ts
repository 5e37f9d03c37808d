// A network between the client library and a whole gateway, both in memory: what is under way waits until it is let through,
// and is lost when the network breaks, for both ends or for one of them.

import type { Link, LinkHandler, LinkRequest, Transport } from "../../clients/typescript/src/transport.ts";
import { Client as Peer, type House } from "../session/house.ts";

/** How a link breaks: for both ends, or so that one of them does not notice. */
export const BREAKS = ["both", "client", "gateway"] as const;
export type Break = typeof BREAKS[number];

/** What the client has done, on its way to the gateway. */
type Upward = string | { readonly close: number };

class HouseLink implements Link {
  readonly buffered = 0;
  readonly #house: House;
  readonly #handler: LinkHandler;
  readonly #upward: Upward[] = [];
  #peer: Peer | null = null;
  /** Whether each end still hears of it. */
  #isHeard = { client: true, gateway: true };

  constructor(house: House, { tenant, ticket, sid, resume }: LinkRequest, handler: LinkHandler) {
    this.#house = house;
    this.#handler = handler;
    const query = new URLSearchParams({ tenant });
    if (ticket !== undefined) query.set("ticket", ticket);
    if (sid !== undefined) query.set("sid", sid);
    query.set("resume", resume?.token ?? "1");
    if (resume !== undefined) query.set("heard", String(resume.heard));
    void house.knock(String(query)).then((answer) => {
      if (!this.#isHeard.client) {
        if ("accept" in answer) this.#enter(answer.accept).gone();
      } else if ("refuse" in answer) this.#closeClient(1006, answer.refuse.body);
      else this.#peer = this.#enter(answer.accept);
    });
  }

  #enter(accept: Peer["handler"]): Peer {
    const peer = new Peer(this.#house, accept, "192.0.2.1");
    accept.open(peer.link);
    return peer;
  }

  send(message: string | Uint8Array): void {
    this.#upward.push(message as string);
  }

  close(code = 1005): void {
    if (this.#peer === null) return this.break("both");
    this.#upward.push({ close: code });
  }

  /** Lets some of what the client sent arrive. */
  up(amount: number): void {
    for (const one of this.#upward.splice(0, amount)) {
      if (!this.#isHeard.gateway || this.#peer === null || this.#peer.link.closed !== null) return;
      if (typeof one === "string") this.#peer.handler.text(one);
      else {
        this.#closeGateway(one.close);
        this.#closeClient(one.close, "");
      }
    }
  }

  /** Lets some of what the gateway sent arrive. */
  down(amount: number): void {
    if (this.#peer === null) return;
    const { link } = this.#peer;
    if (link.terminated > 0) this.break("both");
    for (const payload of link.got.splice(0, amount)) {
      if (this.#isHeard.client) this.#handler.message(payload);
    }
    if (link.closed === null || link.got.length > 0) return;
    this.#closeGateway(link.closed.code);
    this.#closeClient(link.closed.code, link.closed.reason);
  }

  break(how: Break): void {
    this.#upward.length = 0;
    this.#peer?.link.got.splice(0);
    if (how !== "client") this.#closeGateway(1006);
    if (how !== "gateway") this.#closeClient(1006, "");
  }

  #closeGateway(code: number): void {
    if (!this.#isHeard.gateway) return;
    this.#isHeard.gateway = false;
    this.#peer?.gone(code);
  }

  #closeClient(code: number, reason: string): void {
    if (!this.#isHeard.client) return;
    this.#isHeard.client = false;
    this.#handler.close(code, reason);
  }
}

export class HouseNetwork implements Transport {
  readonly #house: House;
  readonly #links: HouseLink[] = [];
  /** Links so far. */
  opened = 0;

  constructor(house: House) {
    this.#house = house;
  }

  open(request: LinkRequest, handler: LinkHandler): Link {
    const link = new HouseLink(this.#house, request, handler);
    this.opened++;
    this.#links.push(link);
    // Those before it have said what they will say.
    if (this.#links.length > 3) this.#links.shift()!.break("both");
    return link;
  }

  up(amount: number): void {
    for (const link of [...this.#links]) link.up(amount);
  }

  down(amount: number): void {
    for (const link of [...this.#links]) link.down(amount);
  }

  break(how: Break): void {
    for (const link of [...this.#links]) link.break(how);
  }
}
