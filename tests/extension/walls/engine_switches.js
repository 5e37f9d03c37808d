// Ways to load and make code that the engine itself does not know here, with the compartment gone.
// expect: held

import { tried } from "../hostile/tried.js";

export default {
  async onMessage() {
    // What V8 has no switch for is refused by wall 1 and by the runtime's permissions.
    if (!globalThis.Bun) return { got: [] };
    const parses = (code) => () => {
      new Function(code);
      return true;
    };
    return await tried({
      importDefer: parses("return import.defer('bun:jsc')"),
      shadowRealm: () => typeof ShadowRealm !== "undefined",
    });
  },
};
