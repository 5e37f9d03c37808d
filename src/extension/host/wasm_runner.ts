// A WASM module in its worker, by way of Extism: hooks are its exports, `on_message` for `onMessage`, which take and give
// JSON. Its calls run one after the other. A module that traps is made anew, as nobody knows in which state it stopped.

import { Buffer } from "node:buffer";
import { createPlugin, type CurrentPlugin, type Plugin } from "@extism/extism";
import { readForeign } from "../../protocol/json.ts";
import { JSON_DEPTH_MAX } from "../../protocol/json_scan.ts";
import { type Action, readActions } from "../../service/action.ts";
import {
  type Hook,
  HOOKS,
  type LogLevel,
  type Request,
  type WorkerCommand,
  type WorkerSpec,
} from "../../program/messages.ts";
import { ExtensionError } from "./extension_error.ts";
import { Gate, readCommands } from "./gate.ts";
import { MessageWriter } from "./message_writer.ts";
import { Requests } from "./requests.ts";
import type { Start } from "./worker_handle.ts";
import { TurnMeter } from "./turn_meter.ts";
import { CommandQueue } from "./command_queue.ts";
import { cut, isLonger, messageOf } from "./values.ts";

export interface WasmRunnerOptions {
  /** Takes a chunk for the gateway. */
  readonly hand: (chunk: Uint8Array<ArrayBuffer>) => void;
  readonly heapBytes: () => number;
}

type Call = Extract<WorkerCommand, { readonly kind: "call" }>;
type Output = Readonly<Record<string, unknown>>;

/** What the host function `kv` takes as `op`. */
const KV_OPS = ["get", "set", "delete", "increment", "list"];
const LEVELS: readonly LogLevel[] = ["debug", "info", "warn", "error"];
/** Calls that are begun in one turn. */
const COMMANDS_MAX = 8;

export class WasmRunner {
  readonly #spec: WorkerSpec;
  readonly #port: MessagePort;
  readonly #writer: MessageWriter;
  readonly #requests: Requests;
  readonly #turns: CommandQueue<WorkerCommand>;
  readonly #gate: Gate;
  #module: WebAssembly.Module | null = null;
  #plugin: Plugin | null = null;
  #exports = new Set<string>();
  /** What its calls, one after the other, are waited for with. */
  #last: Promise<void> = Promise.resolve();
  #current: number | null = null;

  constructor({ slot, spec, meter: shared, arrivals, port }: Start, { hand, heapBytes }: WasmRunnerOptions) {
    this.#spec = spec;
    this.#port = port;
    const writer = new MessageWriter(slot, hand);
    const meter = new TurnMeter(shared);
    const requests = new Requests(writer, spec.limits);
    this.#writer = writer;
    this.#requests = requests;
    const execute = (command: WorkerCommand) => this.#execute(command);
    const turns = new CommandQueue({ meter, heapBytes, execute, commandsMax: COMMANDS_MAX });
    this.#turns = turns;
    const meanwhile = (commands: readonly WorkerCommand[]) => turns.take(commands);
    this.#gate = new Gate({ port, arrivals, writer, meter, requests, meanwhile });
  }

  /** Loads the module and begins to take orders. */
  start(): Promise<void> {
    return this.#turns.whole(() => this.#load());
  }

  async #load(): Promise<void> {
    const { program } = this.#spec;
    try {
      if (program.kind !== "wasm") throw new Error("a module was expected");
      this.#module = await WebAssembly.compile(new Uint8Array(Buffer.from(program.module, "base64")));
      for (const { name, kind } of WebAssembly.Module.exports(this.#module)) {
        if (kind === "function") this.#exports.add(name);
      }
      const hooks = HOOKS.filter((hook) => this.#exports.has(exportOf(hook)));
      if (hooks.length === 0 && !this.#exports.has("on_start")) {
        throw new Error(`it exports none of ${HOOKS.map(exportOf).join(", ")}`);
      }
      await this.#instantiate();
      this.#writer.say(JSON.stringify({ kind: "ready", hooks }));
      this.#port.onmessage = ({ data }) => this.#turns.take(readCommands(data as Uint8Array));
    } catch (error) {
      this.#writer.say(JSON.stringify({ kind: "failed", error: this.#textOf(error) }));
    }
  }

  async #instantiate(): Promise<void> {
    const functions: Record<string, (plugin: CurrentPlugin, ...args: bigint[]) => unknown> = {
      log: (plugin, input) => this.#log(read(plugin, input!)),
      kv: (plugin, input) => plugin.store(this.#request(kvRequest, read(plugin, input!))),
      fetch: (plugin, input) => plugin.store(this.#request(fetchRequest, read(plugin, input!))),
    };
    const { options, env } = this.#spec;
    this.#plugin = await createPlugin({ wasm: [{ module: this.#module! }] }, {
      useWasi: false,
      runInWorker: false,
      allowedHosts: [],
      logger: this.#logger() as never,
      config: { ...env, options: JSON.stringify(options ?? null) },
      functions: { "extism:host/user": functions, env: { abort: aborted } },
    });
    if (this.#exports.has("_initialize")) await this.#run("_initialize", "");
    if (this.#exports.has("on_start")) this.#perform(await this.#ask("on_start", { options, env }), null);
  }

  #execute(command: WorkerCommand): void {
    switch (command.kind) {
      case "call":
        this.#last = this.#last.then(() => this.#call(command));
        return;
      case "granted":
        return this.#requests.granted(command.id, command.value);
      case "refused":
        return this.#requests.refused(command.id, command.code, command.msg);
      case "stop":
        this.#last = this.#last.then(() => this.#stop());
    }
  }

  async #call({ id, hook, input, session }: Call): Promise<void> {
    this.#current = id;
    try {
      const isMessage = hook === "onMessage" || hook === "onIngress";
      const given = hook === "onTick"
        ? {}
        : isMessage
        ? { message: input, session }
        : { event: input, session };
      const output = await this.#ask(exportOf(hook), given);
      const { error } = output;
      if (error !== undefined && error !== null) {
        const { code, msg } = error as { code?: unknown; msg?: unknown };
        throw new ExtensionError(code, msg);
      }
      this.#perform(output, session?.id ?? null);
      this.#result(id, hook === "onIngress" ? output["ingress"] : output["reply"]);
    } catch (error) {
      const told = ExtensionError.told(error);
      this.#writer.say(JSON.stringify({ kind: "thrown", id, ...told, error: this.#textOf(error) }));
    } finally {
      this.#current = null;
    }
  }

  /** Calls an export with JSON, and reads the JSON that it gives. */
  async #ask(name: string, given: unknown): Promise<Output> {
    let text: string;
    try {
      text = await this.#run(name, JSON.stringify(given));
    } catch (error) {
      if (!isOwnError(error)) await this.#turns.whole(() => this.#instantiate());
      throw error;
    }
    if (text === "") return {};
    const output = readText(text, `what ${name} gave`);
    if (typeof output !== "object" || output === null || Array.isArray(output)) {
      throw new TypeError(`${name} must give a JSON object, or nothing`);
    }
    return output as Output;
  }

  async #run(name: string, input: string): Promise<string> {
    const plugin = this.#plugin!;
    try {
      const output = await plugin.call(name, input);
      return output === null ? "" : output.string();
    } finally {
      await plugin.reset();
    }
  }

  /** Asks for what the module wants done; what is refused is told in the log. */
  #perform(output: Output, session: string | null): void {
    const actions = readActions(output["actions"]);
    if (typeof actions === "string") throw new TypeError(actions);
    const call = this.#current;
    for (const action of actions) {
      const request = requestOf(action, session);
      this.#requests.ask(call, () => request).catch((error: unknown) => {
        this.#requests.log(call, "warn", `${action.action} was refused: ${messageOf(error)}`);
      });
    }
  }

  #result(id: number, value: unknown): void {
    const { maxReplyBytes } = this.#spec.limits;
    const text = value === undefined ? "" : `,"value":${JSON.stringify(value)}`;
    if (isLonger(text, maxReplyBytes)) {
      throw new RangeError(`its reply has more than ${maxReplyBytes} bytes (limits.max_reply_bytes)`);
    }
    this.#writer.say(`{"kind":"result","id":${id}${text}}`);
  }

  /** A host function's work: JSON in, JSON out, `{ error: { code, msg } }` when it failed; the module waits. */
  #request(requestOf: (input: Output) => Request, text: string): string {
    try {
      const input = readText(text, "its input");
      if (typeof input !== "object" || input === null) throw new TypeError("it takes a JSON object");
      const value = this.#gate.ask(this.#current, () => requestOf(input as Output));
      return JSON.stringify({ value: value ?? null });
    } catch (error) {
      const code = (error as { code?: unknown }).code ?? "BAD_REQUEST";
      return JSON.stringify({ error: { code, msg: messageOf(error) } });
    }
  }

  #log(text: string): void {
    try {
      const { level, text: line } = JSON.parse(text) as { level?: unknown; text?: unknown };
      const known = LEVELS.find((name) => name === level) ?? "info";
      this.#requests.log(this.#current, known, cut(String(line)));
    } catch {
      this.#requests.log(this.#current, "info", cut(text));
    }
  }

  /** What Extism uses of a console. */
  #logger(): Readonly<Record<string, unknown>> {
    const at = (level: LogLevel) => (text: unknown) =>
      this.#requests.log(this.#current, level, cut(String(text)));
    const [debug, info, warn, error] = LEVELS.map(at);
    return { trace: debug, debug, info, log: info, warn, error };
  }

  async #stop(): Promise<void> {
    try {
      if (this.#exports.has("on_stop")) this.#perform(await this.#ask("on_stop", {}), null);
    } catch (error) {
      this.#requests.log(null, "error", `on_stop failed: ${this.#textOf(error)}`);
    }
    this.#writer.say('{"kind":"stopped"}');
  }

  #textOf(error: unknown): string {
    return cut(error instanceof Error ? `${error.name}: ${error.message}` : String(error));
  }
}

/** `on_message` for `onMessage`. */
function exportOf(hook: Hook): string {
  return hook.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function kvRequest(input: Output): Request {
  const { op, ...rest } = input;
  if (!KV_OPS.includes(op as string)) throw new TypeError(`op must be one of ${KV_OPS.join(", ")}`);
  return { ...rest, op: `kv.${op}` } as Request;
}

function fetchRequest(input: Output): Request {
  return { op: "fetch", url: input["url"] as string, options: input["options"] };
}

/** @throws {TypeError} for an action on another session, which extensions do not have */
function requestOf(action: Action, own: string | null): Request {
  if (action.action === "publish" || action.action === "send") {
    const { action: op, ...rest } = action;
    return { op, ...rest } as Request;
  }
  if (action.session !== undefined && action.session !== own) {
    throw new TypeError(`${action.action} acts on the calling session only`);
  }
  return action.action === "kick"
    ? { op: "kick", reason: action.reason }
    : { op: action.action, room: action.room };
}

/** @throws {TypeError} for what is no JSON, and for what reading it here would change */
function readText(text: string, what: string): unknown {
  const read = readForeign(text, JSON_DEPTH_MAX);
  if (!read.ok) throw new TypeError(`${what} ${read.why}`);
  return read.value;
}

/** Whether a module has said itself that it failed, and is as it was. */
function isOwnError(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith("Plugin-originated error");
}

function read(plugin: CurrentPlugin, address: bigint): string {
  return plugin.read(address)?.string() ?? "";
}

/** AssemblyScript's way to stop. */
function aborted(): never {
  throw new Error("the module aborted");
}
