// Scopes that are told to leave names to those outside of them.
// expect: held

import { tried } from "./tried.js";

export default {
  onMessage: () =>
    tried({
      process: () => {
        globalThis[Symbol.unscopables] = { process: true, eval: true, Function: true };
        return typeof process !== "undefined" || typeof eval !== "undefined";
      },
      missing: () => {
        globalThis[Symbol.unscopables] = { Object: true };
        return typeof Object !== "undefined" && Object.constructor("return this")().process;
      },
      directEval: () => (0, eval)("1"),
      evalAgain: () => eval("this"),
      once: () => arguments.length > 3 || arguments[0]?.process,
      callee: () => arguments.callee.constructor("return process")(),
      assign: () => {
        undeclared = 1;
        return true;
      },
      scopeOfFunction: () => Function("return process")(),
    }),
};
