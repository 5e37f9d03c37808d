// Contexts and answers of the script's own making, by what stands behind `constructor`.
// expect: held

import { tried } from "./tried.js";

export default {
  async onMessage(_message, ctx) {
    const lies = [{ status: 200, headers: {}, base64: 5 }, { text: { length: -1 } }, { base64: Symbol.iterator }, {}];
    const maker = ctx.constructor;
    const attempts = {
      named: () => maker !== Object,
      prototype: () => Object.getOwnPropertyNames(Object.getPrototypeOf(ctx)).includes("constructor"),
    };
    for (const [i, lie] of lies.entries()) {
      // An error of the runtime's own leads to prototypes that nobody has frozen.
      attempts[`answer ${i}`] = async () => {
        try {
          const forged = new maker({ requests: { ask: async () => lie } }, null, {});
          await forged.fetch("https://public.example/");
          return true;
        } catch (error) {
          return "code" in error || !Object.isFrozen(Object.getPrototypeOf(error));
        }
      };
    }
    return await tried(attempts);
  },
};
