// The maker of fetched answers, found by way of one, gives no more of them, and no error of the runtime's own.
// expect: flow

import { tried } from "./tried.js";

export default {
  async onMessage(_message, ctx) {
    let answer;
    try {
      answer = await ctx.fetch("https://public.example/");
    } catch {
      return { got: [] };
    }
    const maker = answer.constructor;
    const attempts = {
      named: () => maker !== Object,
      changed: () => Reflect.set(answer, "text", "lie") || answer.text === "lie",
      status: () => Object.isExtensible(answer) || Reflect.setPrototypeOf(answer, null),
    };
    for (const lie of [{ base64: 5 }, { text: 1 }, { base64: {} }, null]) {
      attempts[`of ${typeof lie} ${JSON.stringify(lie)}`] = () => {
        try {
          return new maker(lie).status !== undefined;
        } catch (error) {
          return "code" in error || !Object.isFrozen(Object.getPrototypeOf(error));
        }
      };
    }
    attempts.json = () => {
      try {
        answer.json();
        return true;
      } catch (error) {
        return !Object.isFrozen(Object.getPrototypeOf(error));
      }
    };
    return await tried(attempts);
  },
};
