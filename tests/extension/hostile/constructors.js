// Code made of text, by whatever leads to a constructor of functions.
// expect: held

import { tried } from "./tried.js";

const code = "return typeof process + typeof Bun + typeof Deno + typeof self";
const run = (constructor) => typeof constructor(code)() === "string";

export default {
  onMessage(message, ctx) {
    const sources = {
      arrow: () => {},
      async: async () => {},
      generator: function* () {},
      asyncGenerator: async function* () {},
      method: [].map,
      bound: (() => {}).bind(null),
      klass: class {},
      publish: ctx.publish,
      get: ctx.kv.get,
      fetch: ctx.fetch,
      now: ctx.now,
      context: ctx.constructor,
      contextGetter: Object.getOwnPropertyDescriptor(Object.getPrototypeOf(ctx), "publish").get,
      error: ExtensionError,
      console: console.log,
      timer: setTimeout,
      url: URL,
      params: URLSearchParams,
      encoder: TextEncoder,
      decoder: TextDecoder,
      clone: structuredClone,
      random: crypto.getRandomValues,
      date: Date,
      math: Math.random,
      intl: Intl.NumberFormat,
      format: new Intl.DateTimeFormat().format,
      require,
      promise: ctx.kv.get("k").then,
    };
    const attempts = {};
    for (const [name, value] of Object.entries(sources)) {
      attempts[name] = () => run(value.constructor);
      attempts[`${name} of prototype`] = () => run(Object.getPrototypeOf(value).constructor);
      attempts[`${name} reflected`] = () => Reflect.construct(value.constructor, [code])();
    }
    attempts.message = () => run(message.constructor.constructor);
    attempts.iterator = () => run([][Symbol.iterator]().next.constructor);
    attempts.proxied = () => run(new Proxy(() => {}, {}).constructor);
    return tried(attempts);
  },
};
