// One extension of a tenant in one configuration: its worker, from the first start through every end and return to the
// last one, and the calls that it is given. A reload that changes it makes another one, to which new calls go while this one
// finishes its own.

import { errorText } from "../error_text.ts";
import type { Context } from "../service/service.ts";
import { type Call, Calls, OUTCOME, type Outcome, type Settle } from "./calls.ts";
import { RestartBackoff, type Wait } from "./restart_backoff.ts";
import type { Condition, ExtensionMetrics, ExtensionView } from "./extension_metrics.ts";
import { cut, type ExtensionLog } from "./extension_log.ts";
import { LOOK_MS } from "./host.ts";
import type { HostPool, Loss, Place, PooledOwner } from "./host_pool.ts";
import type { Hook, WorkerSpec } from "../program/messages.ts";
import { commandOf, type RequestBroker } from "./request_broker.ts";
import type { SessionTexts } from "./session_texts.ts";
import type { ReadEvent } from "./host_events.ts";

export interface ExtensionOptions {
  readonly spec: WorkerSpec;
  readonly timeoutMs: number;
  readonly maxPending: number;
  readonly tickMs: number;
  readonly pool: HostPool;
  readonly texts: SessionTexts;
  readonly broker: RequestBroker;
  readonly metrics: ExtensionMetrics;
  readonly log: ExtensionLog;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
}

/** How long a worker may take until it is ready, and for `onStop`. */
const START_LOOKS = 10_000 / LOOK_MS;
const STOP_LOOKS = 2000 / LOOK_MS;
/** How long one runs alone that may have brought others down. */
const SOLO_MS = 600_000;
const SECOND_LOOKS = 1000 / LOOK_MS;

/** A call that waits for its worker to be ready. */
interface Held {
  readonly hook: Hook;
  readonly id: number;
  readonly text: string;
}

/** "refused": no host runs it on this machine. */
type State = "new" | "starting" | "ready" | "down" | "refused" | "stopping" | "stopped";

const CONDITIONS: Readonly<Record<State, Condition>> = {
  new: "starting",
  starting: "starting",
  ready: "up",
  down: "down",
  refused: "down",
  stopping: "stopped",
  stopped: "stopped",
};

export class Extension implements PooledOwner, ExtensionView {
  readonly spec: WorkerSpec;
  readonly metrics: ExtensionMetrics;
  readonly #options: ExtensionOptions;
  readonly #calls = new Calls();
  readonly #backoff = new RestartBackoff();
  #state: State = "new";
  #place: Place | null = null;
  #hooks: ReadonlySet<Hook> = new Set();
  #held: Held[] = [];
  /** Looks in this state. */
  #looks = 0;
  #startAt = Number.POSITIVE_INFINITY;
  #soloUntil = Number.NEGATIVE_INFINITY;
  #tickAt = 0;
  #ticking = false;
  #starts = 0;
  #retiring = false;
  /** Who takes its calls once it has stopped. */
  #successor: Extension | null = null;
  readonly #whenStopped: (() => void)[] = [];

  constructor(options: ExtensionOptions) {
    this.#options = options;
    this.spec = options.spec;
    this.metrics = options.metrics;
  }

  get condition(): Condition {
    return CONDITIONS[this.#state];
  }

  get pending(): number {
    return this.#calls.size;
  }

  get isStarting(): boolean {
    return this.#state === "starting";
  }

  get isStopped(): boolean {
    return this.#state === "stopped";
  }

  /** Whether events of this kind are of any interest to it. */
  wants(hook: Hook): boolean {
    return this.#state === "ready" ? this.#hooks.has(hook) : this.#state === "starting";
  }

  /** Starts its worker; it is ready later. */
  start(): void {
    const { pool, now } = this.#options;
    if (this.#starts++ > 0) this.metrics.restarts++;
    this.#go("starting");
    let place: Place | string;
    try {
      place = pool.take(this, now() < this.#soloUntil);
    } catch (cause) {
      return this.#failed(`no process for it: ${errorText(cause)}`);
    }
    if (typeof place === "string") this.refused(place);
    else this.#place = place;
  }

  /**
   * Calls a hook.
   * @param input the hook's first argument as JSON; null for none
   * @param settle told of the outcome, later; null where nobody waits for it
   * @returns the outcome where it is known at once, and then `settle` is not called; null else
   */
  call(hook: Hook, input: string | null, context: Context | null, settle: Settle | null): Outcome | null {
    switch (this.#state) {
      case "stopping":
      case "stopped":
        return this.#successor === null ? OUTCOME.down : this.#successor.call(hook, input, context, settle);
      case "new":
      case "down":
      case "refused":
        return this.metrics.count(hook, OUTCOME.down);
      case "ready":
        if (!this.#hooks.has(hook)) return this.metrics.count(hook, OUTCOME.none);
    }
    const { maxPending, now, timeoutMs, texts } = this.#options;
    if (this.#calls.size >= maxPending) return this.metrics.count(hook, OUTCOME.shed);
    let tail: string;
    try {
      tail = texts.of(context);
    } catch { // RangeError
      return this.metrics.count(hook, OUTCOME.unwritable);
    }
    const id = this.#calls.nextId();
    const startedAt = now();
    this.#calls.add({ id, hook, context, startedAt, deadline: startedAt + timeoutMs, settle });
    const text = `{"kind":"call","id":${id},"hook":"${hook}",${
      input === null ? "" : `"input":${input},`
    }${tail}`;
    if (this.#state === "ready") this.#send(text);
    else this.#held.push({ hook, id, text });
    return null;
  }

  /** Calls a hook of which nobody awaits anything; dropped where too much waits already. */
  tell(hook: Hook, input: string, context: Context | null): void {
    if (this.call(hook, input, context, null)?.kind === "shed") this.metrics.droppedEvents++;
  }

  /** Call it every `LOOK_MS`. */
  look(now: number): void {
    this.#looks++;
    for (const call of this.#calls.expired(now)) this.#settle(call, OUTCOME.timeout, now);
    switch (this.#state) {
      case "starting":
        if (this.#looks > START_LOOKS) this.#failed("it was not ready in time");
        return;
      case "down":
        if (now >= this.#startAt) this.start();
        return;
      case "ready":
        this.#watchFlood();
        if (this.#retiring && this.#calls.size === 0) return this.#finish();
        if (now >= this.#tickAt && this.#hooks.has("onTick")) this.#tick(now);
        return;
      case "stopping":
        if (this.#looks > STOP_LOOKS) this.#end("it did not stop in time");
    }
  }

  /**
   * Ends it: calls under way are finished, `onStop` runs. It has to be looked at until then.
   * @param successor to whom the calls go that come late; null for nobody
   * @param haste whether nobody waits for the calls under way
   */
  retire(successor: Extension | null, haste: boolean): Promise<void> {
    this.#successor = successor;
    this.#retiring = true;
    if (haste) this.#lose();
    if (this.#state === "stopped") return Promise.resolve();
    const stopped = new Promise<void>((resolve) => this.#whenStopped.push(resolve));
    const isIdle = this.#calls.size === 0;
    if (this.#state === "ready") {
      if (isIdle) this.#finish();
    } else if (this.#state === "starting" ? isIdle : this.#state !== "stopping") this.#end(null);
    return stopped;
  }

  events(events: readonly ReadEvent[], bytes: number): void {
    for (const event of events) {
      if (this.#place === null) return;
      this.#event(event, bytes);
    }
  }

  gone(why: string): void {
    this.lost({ cause: "crashed", detail: why, guilt: "guilty" });
  }

  lost({ cause, detail, guilt }: Loss): void {
    this.#place = null;
    this.#lose();
    if (this.#retiring) return this.#end(null);
    if (guilt === "unstarted") return this.#failed(`its host ended: ${detail}`);
    const { log, now } = this.#options;
    if (guilt !== "neighbour") this.metrics.kills.add({ cause });
    let wait: Wait = { ms: 0, alone: false };
    if (guilt === "guilty") wait = this.#backoff.killed(now());
    if (guilt === "suspect") this.#soloUntil = now() + SOLO_MS;
    const fields = { cause, detail: cut(detail), guilt, back_in_ms: wait.ms };
    if (wait.alone) {
      log.tell("error", "extension is left alone for a while, for it was ended too often", fields);
    } else log.tell("warn", "extension has lost its worker", fields);
    this.#startIn(wait.ms);
  }

  refused(_why: string): void {
    this.#place = null;
    this.#lose();
    if (this.#retiring) this.#end(null);
    else this.#go("refused");
  }

  #event(event: ReadEvent, bytes: number): void {
    switch (event.kind) {
      case "result":
        if (this.#isTooLarge(event.value, bytes)) {
          return this.#answered(
            event.id,
            { kind: "thrown", code: undefined, msg: "" },
            "its reply is too large",
          );
        }
        return this.#answered(event.id, { kind: "value", value: event.value }, null);
      case "thrown":
        return this.#answered(
          event.id,
          { kind: "thrown", code: event.code, msg: event.msg ?? "" },
          event.error,
        );
      case "request": {
        const { id } = event;
        const caller = event.call === null ? null : this.#calls.find(event.call)?.context ?? null;
        const place = this.#place;
        return this.#options.broker.take(event.request, caller, (granted) => {
          // Another worker would not know what it asked.
          if (this.#place !== place) return 0;
          const command = commandOf(id, granted);
          this.#send(command);
          return command.length;
        });
      }
      case "log":
        return this.#options.log.says(
          event.level,
          event.text,
          event.call === null ? undefined : this.#calls.find(event.call),
        );
      case "ready":
        return this.#ready(event.hooks);
      case "failed":
        if (this.#state !== "starting") return this.#accuse("it fails to start while it runs");
        return this.#failed(event.error);
      case "stopped":
        if (this.#state !== "stopping") return this.#accuse("it stops without being told to");
        return this.#end(null);
    }
  }

  #answered(id: number, outcome: Outcome, error: string | null): void {
    const call = this.#calls.take(id);
    if (call === null) return this.#accuse("it answers what it was not asked");
    if (call === "late") {
      this.metrics.lateAnswers++;
      return;
    }
    if (call.hook === "onTick") this.#ticking = false;
    // What is meant for the client is told to the client.
    if (error !== null && (outcome.kind !== "thrown" || outcome.code === undefined)) {
      this.#options.log.failed(call, error);
    }
    this.#settle(call, outcome, this.#options.now());
  }

  #settle(call: Call, outcome: Outcome, now: number): void {
    this.metrics.durations.observe(now - call.startedAt);
    if (call.hook === "onTick") this.#ticking = false;
    this.metrics.count(call.hook, outcome);
    call.settle?.(outcome);
  }

  #ready(hooks: readonly Hook[]): void {
    if (this.#state !== "starting") return this.#accuse("it is ready twice");
    this.#hooks = new Set(hooks);
    this.#backoff.ready();
    this.#go("ready");
    const { log, tickMs, now } = this.#options;
    this.#tickAt = now() + tickMs;
    this.#ticking = false;
    log.tell("info", "extension ready", { hooks: [...hooks] });
    const held = this.#held;
    this.#held = [];
    for (const { hook, id, text } of held) {
      if (this.#calls.find(id) === undefined) continue; // its time is over
      if (this.#hooks.has(hook)) this.#send(text);
      else this.#settle(this.#calls.take(id) as Call, OUTCOME.none, now());
    }
  }

  #tick(now: number): void {
    const { tickMs } = this.#options;
    this.#tickAt = Math.max(this.#tickAt + tickMs, now);
    if (this.#ticking) return;
    this.#ticking = this.call("onTick", null, null, null) === null;
  }

  /** All that was asked of it has been answered: it may run `onStop`. */
  #finish(): void {
    this.#go("stopping");
    this.#send('{"kind":"stop"}');
  }

  /** It will not run again. @param complaint what was wrong with its end */
  #end(complaint: string | null): void {
    if (complaint !== null) this.#options.log.tell("warn", "extension ended by force", { complaint });
    this.#leave();
    this.#lose();
    this.#go("stopped");
    for (const tell of this.#whenStopped.splice(0)) tell();
  }

  #failed(error: string): void {
    this.#leave();
    this.#lose();
    this.metrics.failedStarts++;
    if (this.#retiring) return this.#end(null);
    const { ms } = this.#backoff.failed();
    this.#options.log.tell("error", "extension does not start", { error: cut(error), again_in_ms: ms });
    this.#startIn(ms);
  }

  #startIn(ms: number): void {
    this.#go("down");
    this.#startAt = this.#options.now() + ms;
    if (ms === 0) this.start();
  }

  #leave(): void {
    this.#place?.host.dismiss(this.#place.slot);
    this.#place = null;
  }

  #lose(): void {
    this.#held = [];
    const now = this.#options.now();
    for (const call of this.#calls.lose(this.#place !== null)) this.#settle(call, OUTCOME.lost, now);
  }

  #go(state: State): void {
    this.#state = state;
    this.#looks = 0;
  }

  #send(message: string): void {
    this.#place?.host.send(this.#place.slot, message);
  }

  #accuse(detail: string): void {
    this.#place?.host.accuse(this.#place.slot, "garbage", detail);
  }

  /** What a worker writes in vain costs the gateway the reading. */
  #watchFlood(): void {
    const { broker, log } = this.#options;
    if (this.#looks % SECOND_LOOKS === 0 && broker.floods(log.excess)) {
      this.#place?.host.accuse(this.#place.slot, "flood", "it asks and logs far more than it may");
    }
  }

  #isTooLarge(value: unknown, bytes: number): boolean {
    const { maxReplyBytes } = this.spec.limits;
    // Measured only where it can be.
    return bytes > maxReplyBytes && value !== undefined && JSON.stringify(value).length > maxReplyBytes;
  }
}
