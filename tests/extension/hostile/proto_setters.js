// Prototypes of shared objects exchanged.
// expect: held

import { tried } from "./tried.js";

const exchanged = (object) => () => {
  const own = { poison: 1 };
  try {
    Object.setPrototypeOf(object, own);
  } catch {
    // frozen
  }
  try {
    object.__proto__ = own;
  } catch {
    // frozen
  }
  return object.poison === 1;
};

export default {
  onMessage: (_message, ctx) =>
    tried({
      ctx: exchanged(ctx),
      prototype: exchanged(Object.getPrototypeOf(ctx)),
      map: exchanged(Map.prototype),
      promise: exchanged(Promise.prototype),
      publish: exchanged(ctx.now),
      url: exchanged(URL),
      options: exchanged(ctx.options),
      getter: () => {
        Object.prototype.__defineGetter__?.("poison", () => 1);
        return {}.poison === 1;
      },
    }),
};
