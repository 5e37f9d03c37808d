// A script in its worker: loaded once, then its hooks called in the order in which the gateway asks for them; what they
// return, throw and ask for goes back. It knows nothing of how the script is kept in: that is the entry's choice, so that
// tests can take the compartment away and see the other walls.

import process from "node:process";
import { parseJson } from "../../protocol/json.ts";
import {
  type Hook,
  HOOKS,
  type SessionView,
  type WorkerCommand,
  type WorkerSpec,
} from "../../program/messages.ts";
import { Context, FetchAnswer, logOf, type Powers } from "./context.ts";
import { ExtensionError } from "./extension_error.ts";
import { MessageWriter } from "./message_writer.ts";
import { Requests } from "./requests.ts";
import type { Start } from "./worker_handle.ts";
import { Timers } from "./timers.ts";
import { TurnMeter } from "./turn_meter.ts";
import { CommandQueue } from "./command_queue.ts";
import { cut, errorText, isLonger, jsonOf, shown } from "./values.ts";

/** How a script is brought to run. */
export interface Loading {
  readonly heapBytes: () => number;
  /** @param powers globals that do something @returns the default export @throws what the script throws */
  readonly load: (powers: Readonly<Record<string, unknown>>) => unknown;
  /** Lines of an error's stack, each after a line end; empty when it has none. */
  readonly stackOf: (error: unknown) => string;
  /** Freezes a value with all that it leads to. */
  readonly harden: <T>(value: T) => T;
}

type HookFunction = (...args: readonly unknown[]) => unknown;
type Call = Extract<WorkerCommand, { readonly kind: "call" }>;

/** Every member of an extension that is called. */
const MEMBERS = [...HOOKS, "onStart", "onStop"] as const;
type Member = typeof MEMBERS[number];
const TICK: Hook = "onTick";

export class ScriptRunner {
  readonly #spec: WorkerSpec;
  readonly #port: MessagePort;
  readonly #writer: MessageWriter;
  readonly #turns: CommandQueue<WorkerCommand>;
  readonly #requests: Requests;
  readonly #timers: Timers;
  #stackOf: (error: unknown) => string = () => "";
  #heapBytes: () => number = () => 0;
  #powers: Powers | null = null;
  #extension: unknown = null;
  readonly #members = new Map<Member, HookFunction>();

  /** @param hand takes a chunk for the gateway */
  constructor({ slot, spec, meter, port }: Start, hand: (chunk: Uint8Array<ArrayBuffer>) => void) {
    this.#spec = spec;
    this.#port = port;
    this.#writer = new MessageWriter(slot, hand);
    this.#requests = new Requests(this.#writer, spec.limits);
    this.#turns = new CommandQueue({
      meter: new TurnMeter(meter),
      heapBytes: () => this.#heapBytes(),
      execute: (command) => this.#execute(command),
    });
    this.#timers = new Timers({
      max: spec.limits.maxTimers,
      run: (task) => this.#turns.run(task),
      failed: (error) => this.#logError("a timer's task failed", error),
    });
  }

  /** Loads the script and begins to take orders. */
  start({ load, stackOf, harden, heapBytes }: Loading): void {
    this.#heapBytes = heapBytes;
    this.#stackOf = stackOf;
    process.on(
      "unhandledRejection",
      (reason) => this.#logError("a promise was rejected and not caught", reason),
    );
    const { setTimeout, setInterval, clear } = this.#timers;
    const show = (value: unknown) => shown(value, stackOf);
    const { debug, info, warn, error } = logOf((level, text) => this.#requests.log(null, level, text), show);
    const timers = harden({ setTimeout, setInterval, clear });
    this.#powers = {
      requests: this.#requests,
      timers,
      now: harden(() => Date.now()),
      random: harden(() => Math.random()),
      options: harden(this.#spec.options),
      env: harden({ ...this.#spec.env }),
      shown: show,
    };
    harden(Context);
    harden(FetchAnswer);
    const powers = {
      ...{ setTimeout, setInterval, clearTimeout: clear, clearInterval: clear },
      queueMicrotask: (task: unknown) => this.#microtask(task),
      console: { log: info, debug, info, warn, error },
    };
    this.#turns.run(() => void this.#load(() => load(powers)));
  }

  async #load(load: () => unknown): Promise<void> {
    try {
      this.#extension = load();
      this.#readMembers();
      await this.#run("onStart", [this.#context(null, null)]);
    } catch (error) {
      return this.#writer.say(`{"kind":"failed","error":${JSON.stringify(this.#textOf(error))}}`);
    }
    const hooks = HOOKS.filter((hook) => this.#members.has(hook));
    this.#writer.say(JSON.stringify({ kind: "ready", hooks }));
    this.#port.onmessage = ({ data }) => {
      this.#turns.take(parseJson(new TextDecoder().decode(data as Uint8Array)) as WorkerCommand[]);
    };
  }

  #readMembers(): void {
    const extension = this.#extension;
    if (typeof extension !== "object" || extension === null) {
      throw new TypeError("its default export must be an object with hooks");
    }
    for (const name of MEMBERS) {
      const member: unknown = Reflect.get(extension, name);
      if (member === undefined) continue;
      if (typeof member !== "function") throw new TypeError(`${name} must be a function`);
      this.#members.set(name, member as HookFunction);
    }
    if (this.#members.size === 0) throw new TypeError(`its default export has none of ${MEMBERS.join(", ")}`);
  }

  #execute(command: WorkerCommand): void {
    switch (command.kind) {
      case "call":
        return this.#call(command);
      case "granted":
        return this.#requests.granted(command.id, command.value);
      case "refused":
        return this.#requests.refused(command.id, command.code, command.msg);
      case "stop":
        return void this.#stop();
    }
  }

  #call({ id, hook, input, session }: Call): void {
    const context = this.#context(id, session);
    const args = hook === TICK ? [context] : [input, context];
    let returned: unknown;
    try {
      returned = this.#run(hook, args);
      // What is a promise, or looks like one, is waited for; the rest needs no further turn.
      if (isThenable(returned)) return void this.#settle(id, returned);
    } catch (error) {
      return this.#thrown(id, error);
    }
    this.#result(id, returned);
  }

  #run(member: Member, args: readonly unknown[]): unknown {
    const hook = this.#members.get(member);
    return hook === undefined ? undefined : Reflect.apply(hook, this.#extension, args);
  }

  async #settle(id: number, returned: unknown): Promise<void> {
    let value: unknown;
    try {
      value = await returned;
    } catch (error) {
      return this.#thrown(id, error);
    }
    this.#result(id, value);
  }

  #result(id: number, value: unknown): void {
    let text: string | undefined;
    try {
      text = jsonOf(value, "what it returned");
      const { maxReplyBytes } = this.#spec.limits;
      if (text !== undefined && isLonger(text, maxReplyBytes)) {
        throw new RangeError(
          `what it returned has more than ${maxReplyBytes} bytes (limits.max_reply_bytes)`,
        );
      }
    } catch (error) {
      return this.#thrown(id, error);
    }
    this.#writer.say(`{"kind":"result","id":${id}${text === undefined ? "" : `,"value":${text}`}}`);
  }

  #thrown(id: number, error: unknown): void {
    const told = ExtensionError.told(error);
    this.#writer.say(JSON.stringify({ kind: "thrown", id, ...told, error: this.#textOf(error) }));
  }

  async #stop(): Promise<void> {
    try {
      await this.#run("onStop", [this.#context(null, null)]);
    } catch (error) {
      this.#logError("onStop failed", error);
    }
    this.#writer.say('{"kind":"stopped"}');
  }

  #context(call: number | null, session: SessionView | null): Context {
    return new Context(this.#powers!, call, session);
  }

  #microtask(task: unknown): void {
    if (typeof task !== "function") throw new TypeError("queueMicrotask needs a function");
    queueMicrotask(() => {
      try {
        task();
      } catch (error) {
        this.#logError("a microtask failed", error);
      }
    });
  }

  #textOf(error: unknown): string {
    return errorText(error, this.#stackOf);
  }

  #logError(what: string, error: unknown): void {
    this.#requests.log(null, "error", cut(`${what}: ${this.#textOf(error)}`));
  }
}

/** @throws what a getter of it throws */
function isThenable(value: unknown): boolean {
  if ((typeof value !== "object" || value === null) && typeof value !== "function") return false;
  return value instanceof Promise || typeof (value as { then?: unknown }).then === "function";
}
