// Loaded into the gateway's process by reload.ts (`--preload`): how long the event loop was ever busy with something else.
// At SIGUSR2 it writes the longest pause since the last one, in milliseconds, to stderr.

import process from "node:process";

let before = performance.now();
let longest = 0;

setInterval(() => {
  const now = performance.now();
  // A timer of 1 ms; what is above that, the loop was late.
  longest = Math.max(longest, now - before - 1);
  before = now;
}, 1).unref();

process.on("SIGUSR2", () => {
  process.stderr.write(`${longest.toFixed(2)}\n`);
  longest = 0;
});
