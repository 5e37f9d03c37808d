// A client that counts, as the protocol asks of one that wants to come back to its session.

import { strict as assert } from "node:assert";
import { type Client, House, OPEN_POLICY } from "./house.ts";

export interface Said {
  readonly svc?: string;
  readonly type: string;
  readonly seq?: number;
  // deno-lint-ignore no-explicit-any -- a test reads what it expects
  readonly data?: any;
}

export const RESUME = ["resume: { window_ms: 30000, max_messages: 20 }", OPEN_POLICY];

/** A client that counts, as the protocol asks of it. */
export class Counting {
  client: Client;
  token = "";
  session = "";
  heard = 0;
  sent = 0;
  readonly #house: House;
  readonly user: string;

  private constructor(house: House, user: string, client: Client) {
    this.#house = house;
    this.user = user;
    this.client = client;
  }

  static async enter(house: House, user: string, query = ""): Promise<Counting> {
    const client = await house.enter(null, `tenant=acme&ticket=dev:${user}&resume=1${query}`);
    const one = new Counting(house, user, client);
    one.greeted("authed");
    return one;
  }

  greeted(type: string): Said {
    const [greeting, ...others] = this.client.link.read() as Said[];
    assert.equal(greeting?.type, type, JSON.stringify(greeting));
    this.token = greeting.data.resume.token;
    this.session = greeting.data.session;
    this.heard += others.length;
    this.after = others;
    return greeting;
  }

  after: Said[] = [];

  read(): Said[] {
    const all = this.client.link.read() as Said[];
    this.heard += all.length;
    return all;
  }

  say(svc: string, type: string, more: Record<string, unknown> = {}): Said[] {
    this.sent++;
    this.client.tell(svc, type, more);
    this.#house.turn();
    return this.read();
  }

  chat(msg: string): Said[] {
    return this.say("chat", "send", { room: "lobby", data: { msg } });
  }

  async comeBack(more: { heard?: number; token?: string; address?: string } = {}): Promise<Said> {
    const { heard = this.heard, token = this.token, address } = more;
    this.client = await this.#house.enter(null, `tenant=acme&resume=${token}&heard=${heard}`, address);
    this.#house.turn();
    return this.greeted("resumed");
  }
}

export async function resumable(tenant: readonly string[] = RESUME, gateway?: string): Promise<House> {
  return await new House({ tenant, ...(gateway === undefined ? {} : { gateway }) }).start();
}

export const msgs = (said: readonly Said[]) =>
  said.filter(({ type }) => type === "msg").map(({ data }) => data.msg);

export async function refusal(house: House, query: string): Promise<[number, string]> {
  const answer = await house.knock(`tenant=acme&${query}`);
  assert.ok("refuse" in answer, "it was let in");
  return [answer.refuse.status, JSON.parse(answer.refuse.body).msg];
}
