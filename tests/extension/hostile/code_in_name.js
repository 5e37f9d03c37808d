// Nothing that others wrote stands in code: not where it says where it comes from.
// expect: held

import { tried } from "./tried.js";

export default {
  onMessage: () =>
    tried({
      stack: () => String(new Error("x").stack).includes("extension-module"),
      caller: () => tried.caller,
    }),
};
