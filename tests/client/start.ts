// A client on a fake gateway and a fake clock, for tests of one thing each.

import { Client, type ClientOptions, type Status } from "../../clients/typescript/src/mod.ts";
import type { PageHandler } from "../../clients/typescript/src/page.ts";
import { FakeClock } from "./fake_clock.ts";
import { FakeGateway, type FakeOptions } from "./fake_gateway.ts";

export interface Stage {
  readonly clock: FakeClock;
  readonly gateway: FakeGateway;
  readonly client: Client;
  /** Everything that `client.status` has been, in short. */
  readonly states: string[];
  /** News of the page. */
  readonly page: PageHandler;
}

/** 1,000 ms at the first try, 2,000 at the second, and so on: the longest that chance can give. */
export const LATEST = () => 0.999_999;

export function stage(
  gatewayOptions: Omit<FakeOptions, "clock"> = {},
  options: Partial<ClientOptions> = {},
): Stage {
  const clock = (options.clock as FakeClock | undefined) ?? new FakeClock();
  const gateway = new FakeGateway({ clock, ...gatewayOptions });
  let page: PageHandler;
  const client = new Client("wss://gateway.example", {
    tenant: "acme",
    ticket: "dev:ann",
    transport: gateway,
    clock,
    random: LATEST,
    page: (handler) => {
      page = handler;
      return () => {};
    },
    ...options,
  });
  const states: string[] = [];
  client.status.subscribe((status) => states.push(short(status)));
  return { clock, gateway, client, states, page: page! };
}

function short(status: Status): string {
  switch (status.state) {
    case "connected":
      return status.resumed ? "resumed" : "connected";
    case "reconnecting":
      return `reconnecting ${status.attempt}${status.at === null ? " now" : ""}`;
    case "closed":
      return `closed ${status.code}`;
    default:
      return status.state;
  }
}

/** A client that is connected. */
export async function connected(
  gatewayOptions: Omit<FakeOptions, "clock"> = {},
  options: Partial<ClientOptions> = {},
): Promise<Stage> {
  const all = stage(gatewayOptions, options);
  const up = all.client.connect();
  await all.clock.pass(10);
  await up;
  return all;
}

/** What a promise comes to, without waiting for anything but the clock. */
export async function fate<T>(promise: Promise<T>): Promise<T | string> {
  try {
    return await promise;
  } catch (error) {
    return `${(error as { code?: string }).code ?? String(error)}`;
  }
}
