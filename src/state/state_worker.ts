// The state's thread: where it starts. Built into the executable as an entry of its own (compile.sh).

import { errorText } from "../error_text.ts";
import process from "node:process";
import { parentPort, workerData } from "node:worker_threads";
import { diskOf } from "./state_bounds.ts";
import type { StatePlace } from "./state_channel.ts";
import type { FromThread, ToThread } from "./state_messages.ts";
import { StateThread } from "./state_thread.ts";
import { SYSTEM_CLOCKS } from "./state_time.ts";

const port = parentPort!;
const tell = (message: FromThread) => port.postMessage(message);

try {
  const { folder, bounds } = workerData as StatePlace;
  const thread = new StateThread({
    folder,
    bounds,
    clocks: SYSTEM_CLOCKS,
    disk: () => folder === null ? null : diskOf(folder),
    tell,
    random: Math.random,
  });
  port.on("message", (message: ToThread) => {
    if (message.kind === "batch") thread.batch(message.jobs);
    else void thread.close().then(() => process.exit(0));
  });
  tell({ kind: "ready", failed: null });
} catch (cause) {
  tell({ kind: "ready", failed: errorText(cause) });
}
