// A request of 100 MB.
// expect: held

import { tried } from "./tried.js";

export default {
  onMessage: (_message, ctx) => tried({ big: () => ctx.publish("a", "b", "x".repeat(100_000_000)).then(() => 1) }),
};
