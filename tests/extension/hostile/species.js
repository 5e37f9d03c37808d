// Classes of its own in the hands of the host's methods.
// expect: held

import { tried } from "./tried.js";

let seen = null;
class Spy extends Array {
  static get [Symbol.species]() {
    return function (...args) {
      seen = args;
      return [];
    };
  }
}
class SlyPromise extends Promise {
  static get [Symbol.species]() {
    return function (executor) {
      seen = executor;
      return new Promise(executor);
    };
  }
}

export default {
  async onMessage(_message, ctx) {
    void ctx.publish(Spy.of(1, 2), Spy.of("t"), Spy.of(3));
    console.log(Spy.of(1, 2), new SlyPromise(() => {}));
    const { got } = await tried({
      executor: () => typeof seen === "function" && seen.constructor("return process")(),
      bytes: () => {
        class Bytes extends Uint8Array {
          static get [Symbol.species]() {
            return Array;
          }
        }
        return new TextDecoder().decode(Bytes.of(65)) !== "A";
      },
    });
    return SlyPromise.resolve({ got });
  },
};
