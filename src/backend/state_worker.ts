// The state's thread: where it starts. Built into the executable as an entry of its own (compile.sh).

import { errorText } from "../error_text.ts";
import process from "node:process";
import { parentPort, workerData } from "node:worker_threads";
import type { FromThread, ToThread } from "./state_messages.ts";
import { StateThread } from "./state_thread.ts";

const port = parentPort!;
const tell = (message: FromThread) => port.postMessage(message);

try {
  const { folder } = workerData as { folder: string | null };
  const thread = new StateThread({ folder, tell, unixMs: Date.now, random: Math.random });
  port.on("message", (message: ToThread) => {
    if (message.kind === "batch") thread.batch(message.jobs);
    else void thread.close().then(() => process.exit(0));
  });
  tell({ kind: "ready", failed: null });
} catch (cause) {
  tell({ kind: "ready", failed: errorText(cause) });
}
