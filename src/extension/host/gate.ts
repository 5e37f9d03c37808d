// How a module's call waits for the gateway: its thread stands still until the answer is in the port, as a module cannot
// await. SessionPolicyState still is not taken for work.

import { receiveMessageOnPort } from "node:worker_threads";
import { parseJson } from "../../protocol/json.ts";
import type { Request, WorkerOrder } from "../messages.ts";
import type { Outlet } from "./outlet.ts";
import { refusal, type Requests } from "./requests.ts";
import type { TurnMeter } from "./turn_meter.ts";

/** Longer than the gateway takes for anything: a fetch has a minute at most. */
const ANSWER_MS = 90_000;

type Port = Parameters<typeof receiveMessageOnPort>[0];

export interface GateOptions {
  readonly port: MessagePort;
  readonly arrivals: SharedArrayBuffer;
  readonly outlet: Outlet;
  readonly meter: TurnMeter;
  readonly requests: Requests;
  /** Orders that came meanwhile; they are to be carried out later. */
  readonly meanwhile: (orders: readonly WorkerOrder[]) => void;
}

export class Gate {
  readonly #options: GateOptions;
  readonly #arrivals: Int32Array;

  constructor(options: GateOptions) {
    this.#options = options;
    this.#arrivals = new Int32Array(options.arrivals);
  }

  /** @returns what was granted @throws an error with the gateway's `code` when it refuses */
  ask(call: number | null, build: () => Request): unknown {
    const { requests, outlet, meter } = this.#options;
    const id = requests.put(call, build);
    outlet.flush();
    meter.end();
    try {
      const answer = this.#await(id);
      if (answer.kind === "refused") throw refusal(answer.code, answer.msg);
      return answer.value;
    } finally {
      meter.begin();
    }
  }

  #await(id: number): Extract<WorkerOrder, { readonly kind: "granted" | "refused" }> {
    const { port, meanwhile } = this.#options;
    const deadline = performance.now() + ANSWER_MS;
    for (;;) {
      const arrived = Atomics.load(this.#arrivals, 0);
      for (;;) {
        const received = receiveMessageOnPort(port as unknown as Port);
        if (received === undefined) break;
        const orders = readOrders(received.message as Uint8Array);
        const answer = orders.find((order) =>
          (order.kind === "granted" || order.kind === "refused") && order.id === id
        );
        meanwhile(orders.filter((order) => order !== answer));
        if (answer !== undefined && answer.kind !== "call" && answer.kind !== "stop") return answer;
      }
      const left = deadline - performance.now();
      if (left <= 0) return { kind: "refused", id, code: "TIMEOUT", msg: "the gateway did not answer" };
      Atomics.wait(this.#arrivals, 0, arrived, left);
    }
  }
}

export function readOrders(bytes: Uint8Array): WorkerOrder[] {
  return parseJson(new TextDecoder().decode(bytes)) as WorkerOrder[];
}
