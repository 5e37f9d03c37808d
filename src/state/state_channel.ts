// The two ways to the state's thread: a worker, so that writing to the disk holds up nobody, or none at all where the
// state is in memory and hardly used.

import { ownEntry } from "../own_entry.ts";
import { errorText } from "../error_text.ts";
import { Worker } from "node:worker_threads";
import type { BoundsConfig } from "./state_bounds.ts";
import type { FromThread, ToThread } from "./state_messages.ts";
import { StateThread } from "./state_thread.ts";
import { SYSTEM_CLOCKS } from "./state_time.ts";

/** A way to the state's thread. */
export interface StateChannel {
  send(message: ToThread): void;
  /** Ends it at once. */
  end(): void;
}

/** Who hears what comes from there. MUST NOT be called from within `send`. */
export interface StateListener {
  told(message: FromThread): void;
  /** The thread has ended by itself; nothing more comes. */
  died(cause: string): void;
}

/** A state, as its thread is told where it is and how large it may get. */
export interface StatePlace {
  /** `gateway.state_dir`, null for a state in memory. */
  readonly folder: string | null;
  readonly bounds: BoundsConfig;
}

/** A thread of its own. */
export function workerChannel(place: StatePlace, listener: StateListener): StateChannel {
  const worker = new Worker(ownEntry(import.meta.url, "state", "state_worker.ts"), { workerData: place });
  let over = false;
  worker.on("message", (message: FromThread) => {
    if (message.kind === "closed") over = true;
    listener.told(message);
  });
  const died = (cause: string) => {
    if (!over) listener.died(cause);
    over = true;
  };
  worker.on("error", (error) => died(errorText(error)));
  worker.on("exit", (code) => died(`its thread has ended with code ${code}`));
  return {
    send: (message) => worker.postMessage(message),
    end: () => {
      over = true;
      void worker.terminate();
    },
  };
}

/** A state in memory, on this thread. */
export function inlineChannel(bounds: BoundsConfig, listener: StateListener): StateChannel {
  // Later, as a thread would.
  const tell = (message: FromThread) => queueMicrotask(() => listener.told(message));
  const thread = new StateThread({
    folder: null,
    bounds,
    clocks: SYSTEM_CLOCKS,
    disk: () => null,
    tell,
    random: Math.random,
  });
  tell({ kind: "ready", failed: null });
  return {
    send: (message) => message.kind === "batch" ? thread.batch(message.jobs) : void thread.close(),
    end: () => {},
  };
}
