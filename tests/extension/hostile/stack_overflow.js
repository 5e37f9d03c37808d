// The stack used up at every place where the host runs.
// expect: held

import { tried } from "./tried.js";

const deep = (task) => {
  try {
    return deep(task);
  } catch {
    return task();
  }
};

export default {
  async onMessage(_message, ctx) {
    for (const task of [
      () => ctx.publish("a", "b", {}).catch(() => {}),
      () => ctx.kv,
      () => console.log("x", {}),
      () => setTimeout(() => {}, 1),
      () => new URL("http://a/"),
      () => new ExtensionError("INTERNAL", "x"),
      () => structuredClone([]),
      () => new Date(),
    ]) {
      try {
        deep(task);
      } catch {
        // it is used up
      }
    }
    return await tried({ alive: () => ctx.now() < 0 });
  },
};
