// How a module's call waits for the gateway: its thread stands still until the answer is in the port, as a module cannot
// await. Standing still is not taken for work.

import { receiveMessageOnPort } from "node:worker_threads";
import { parseJson } from "../../protocol/json.ts";
import type { Request, WorkerCommand } from "../../program/messages.ts";
import type { MessageWriter } from "./message_writer.ts";
import { refusal, type Requests } from "./requests.ts";
import type { TurnMeter } from "./turn_meter.ts";

/** Longer than the gateway takes for anything: a fetch has a minute at most. */
const ANSWER_MS = 90_000;

type Port = Parameters<typeof receiveMessageOnPort>[0];

export interface GateOptions {
  readonly port: MessagePort;
  readonly arrivals: SharedArrayBuffer;
  readonly writer: MessageWriter;
  readonly meter: TurnMeter;
  readonly requests: Requests;
  /** Commands that came meanwhile; they are to be carried out later. */
  readonly meanwhile: (commands: readonly WorkerCommand[]) => void;
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
    const { requests, writer, meter } = this.#options;
    const id = requests.put(call, build);
    writer.flush();
    meter.end();
    try {
      const answer = this.#await(id);
      if (answer.kind === "refused") throw refusal(answer.code, answer.msg);
      return answer.value;
    } finally {
      meter.begin();
    }
  }

  #await(id: number): Extract<WorkerCommand, { readonly kind: "granted" | "refused" }> {
    const { port, meanwhile } = this.#options;
    const deadline = performance.now() + ANSWER_MS;
    for (;;) {
      const arrived = Atomics.load(this.#arrivals, 0);
      for (;;) {
        const received = receiveMessageOnPort(port as unknown as Port);
        if (received === undefined) break;
        const commands = readCommands(received.message as Uint8Array);
        const answer = commands.find((command) =>
          (command.kind === "granted" || command.kind === "refused") && command.id === id
        );
        meanwhile(commands.filter((command) => command !== answer));
        if (answer !== undefined && answer.kind !== "call" && answer.kind !== "stop") return answer;
      }
      const left = deadline - performance.now();
      if (left <= 0) return { kind: "refused", id, code: "TIMEOUT", msg: "the gateway did not answer" };
      Atomics.wait(this.#arrivals, 0, arrived, left);
    }
  }
}

export function readCommands(bytes: Uint8Array): WorkerCommand[] {
  return parseJson(new TextDecoder().decode(bytes)) as WorkerCommand[];
}
