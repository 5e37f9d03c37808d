// What an extension asks the gateway to do, and the promises that wait for its answers.

import type { LogLevel, Request, WorkerLimits } from "../../program/messages.ts";
import type { MessageWriter } from "./message_writer.ts";
import { isLonger, jsonOf, messageOf } from "./values.ts";

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** What a method of `ctx` rejects with: an error with the gateway's `code`. */
export function refusal(code: string, msg: string): Error {
  const error = new Error(msg);
  error.name = "Refused";
  return Object.assign(error, { code });
}

export class Requests {
  readonly #writer: MessageWriter;
  readonly #limits: WorkerLimits;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;

  constructor(writer: MessageWriter, limits: WorkerLimits) {
    this.#writer = writer;
    this.#limits = limits;
  }

  /**
   * Asks the gateway.
   * @param call the call that it is part of
   * @param build makes the request of foreign values; what it throws is what the promise rejects with
   */
  ask(call: number | null, build: () => Request): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const text = this.#written(build);
      const id = ++this.#lastId;
      this.#waiting.set(id, { resolve, reject });
      this.#writer.say(`{"kind":"request","id":${id},"call":${call},"request":${text}}`);
    });
  }

  /** Asks the gateway and hands over nothing but the number of the request: for whoever waits in another way. */
  put(call: number | null, build: () => Request): number {
    const text = this.#written(build);
    const id = ++this.#lastId;
    this.#writer.say(`{"kind":"request","id":${id},"call":${call},"request":${text}}`);
    return id;
  }

  granted(id: number, value: unknown): void {
    this.#take(id)?.resolve(value);
  }

  refused(id: number, code: string, msg: string): void {
    this.#take(id)?.reject(refusal(code, msg));
  }

  log(call: number | null, level: LogLevel, text: string): void {
    this.#writer.say(`{"kind":"log","level":"${level}","text":${JSON.stringify(text)},"call":${call}}`);
  }

  #written(build: () => Request): string {
    const { maxRequests, maxReplyBytes } = this.#limits;
    if (this.#waiting.size >= maxRequests) {
      throw refusal("RESOURCE_EXHAUSTED", `${maxRequests} requests wait for their answers already`);
    }
    let text: string;
    try {
      text = jsonOf(build(), "it")!;
    } catch (error) {
      throw refusal("BAD_REQUEST", messageOf(error));
    }
    if (isLonger(text, maxReplyBytes)) {
      throw refusal("PAYLOAD_TOO_LARGE", `a request has at most ${maxReplyBytes} bytes`);
    }
    return text;
  }

  #take(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    return waiting;
  }
}
