// The language changed under the feet of the host, and of its neighbours in the worker.
// expect: held

import { tried } from "./tried.js";

const changed = (object, key) => () => {
  const after = () => "poison";
  Reflect.set(object, key, after);
  Reflect.defineProperty(object, key, { value: after });
  return Reflect.get(object, key) === after;
};

export default {
  onMessage: (_message, ctx) =>
    tried({
      map: changed(Array.prototype, "map"),
      push: changed(Array.prototype, "push"),
      join: changed(Array.prototype, "join"),
      iterate: changed(Array.prototype, Symbol.iterator),
      then: changed(Promise.prototype, "then"),
      resolve: changed(Promise, "resolve"),
      stringify: changed(JSON, "stringify"),
      parse: changed(JSON, "parse"),
      get: changed(Map.prototype, "get"),
      slice: changed(String.prototype, "slice"),
      call: changed(Object.getPrototypeOf(() => {}), "call"),
      toJSON: changed(Object.prototype, "toJSON"),
      any: changed(Object.prototype, "code"),
      number: changed(Number.prototype, "toJSON"),
      error: changed(Error.prototype, "toString"),
      context: changed(Object.getPrototypeOf(ctx), "publish"),
      ctx: changed(ctx, "publish"),
      kv: changed(ctx.kv, "get"),
      options: changed(ctx.options, "mode"),
      env: changed(ctx.env, "X"),
      now: changed(ctx.now, "call"),
      url: changed(URL.prototype, "toString"),
      encode: changed(TextEncoder.prototype, "encode"),
      told: changed(ExtensionError, "told"),
      iterator: changed(Object.getPrototypeOf([][Symbol.iterator]()), "next"),
      generator: changed(Object.getPrototypeOf(function* () {}), "prototype"),
      regexp: changed(RegExp.prototype, "exec"),
      intl: changed(Intl.NumberFormat.prototype, "format"),
      date: changed(Date.prototype, "getTime"),
    }),
};
