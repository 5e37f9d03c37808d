// Evaluates code in the scope of a compartment's globals, as SES does (its make-evaluate.js), but for one thing: SES refuses
// by patterns whatever has `import(`, `<!--` or `eval(` in it, be it in a text or in a comment, and can only be told to rewrite
// such places instead. Here code runs as it was written; that none of it imports is running_text.ts's part.

/** The runtime's own, as they were before lockdown. */
const HostFunction = Function;
const hostEval = eval;

/**
 * The outermost scope: it has every name, so that none is looked for in the worker's own globals behind it. A `Proxy`, as
 * nothing else has every name.
 */
const EVERY_NAME: ProxyHandler<object> = {
  has: () => true,
  get: () => undefined,
  set: (_target, name) => {
    throw new ReferenceError(`${String(name)} is not defined`);
  },
};
const NOTHING = new Proxy<object>(Object.freeze(Object.create(null)), EVERY_NAME);

/** The function within sees the engine's `eval` once, as the first name that it looks for, and with it evaluates its argument. */
const FACTORY = `
  with (this.nothing) {
    with (this.globals) {
      with (this.once) {
        return function () {
          "use strict";
          return eval(arguments[0]);
        };
      }
    }
  }
`;

/** @returns what evaluates code that has no names but the language's and those of `globals` */
export function evaluatorIn(globals: object): (code: string) => unknown {
  const once: Record<string, unknown> = Object.create(null);
  const evaluate = Reflect.apply(new HostFunction(FACTORY), { nothing: NOTHING, globals, once }, []) as () =>
    unknown;
  return (code) => {
    Object.defineProperty(once, "eval", {
      get: () => {
        delete once["eval"];
        return hostEval;
      },
      configurable: true,
    });
    try {
      return Reflect.apply(evaluate, globals, [code]);
    } finally {
      // It took it as the first thing that it did; whatever happened, nothing that comes later has it.
      delete once["eval"];
    }
  };
}
