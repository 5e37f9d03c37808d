// The two ways to the state's thread: a worker, so that writing to the disk holds up nobody, or none at all where the
// state is in memory and hardly used.

import { ownEntry } from "../own_entry.ts";
import { errorText } from "../error_text.ts";
import { Worker } from "node:worker_threads";
import type { FromThread, ToThread } from "./state_messages.ts";
import { StateThread } from "./state_thread.ts";

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

/** A thread of its own. @param folder `gateway.state_dir`, null for a state in memory */
export function workerChannel(folder: string | null, listener: StateListener): StateChannel {
  const worker = new Worker(ownEntry(import.meta.url, "backend", "state_worker.ts"), {
    workerData: { folder },
  });
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
export function inlineChannel(listener: StateListener): StateChannel {
  // Later, as a thread would.
  const tell = (message: FromThread) => queueMicrotask(() => listener.told(message));
  const thread = new StateThread({ folder: null, tell, unixMs: Date.now, random: Math.random });
  tell({ kind: "ready", failed: null });
  return {
    send: (message) => message.kind === "batch" ? thread.batch(message.jobs) : void thread.close(),
    end: () => {},
  };
}
