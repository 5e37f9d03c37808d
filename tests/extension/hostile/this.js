// `this` where there is none.
// expect: held

import { tried } from "./tried.js";

const outer = this;
const sloppy = function () {
  return this;
};

export default {
  onMessage: (_message, ctx) =>
    tried({
      module: () => outer,
      call: () => sloppy(),
      apply: () => Reflect.apply(sloppy, undefined, []),
      nullish: () => sloppy.call(null),
      map: () => [1].map(sloppy)[0],
      revive: () => JSON.parse("[1]", sloppy).constructor?.constructor?.("return this")(),
      timer: () => new Promise((resolve) => setTimeout(function () {
        resolve(this);
      })),
      context: () => new Promise((resolve) => ctx.setTimeout(function () {
        resolve(this);
      })),
      microtask: () => new Promise((resolve) => queueMicrotask(function () {
        resolve(this);
      })),
      replace: () => "a".replace("a", sloppy) !== "undefined",
      then: () => Promise.resolve(1).then(sloppy),
    }),
};
