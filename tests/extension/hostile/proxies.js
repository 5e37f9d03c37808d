// Traps that look at what the host does with a value.
// expect: held

import { tried } from "./tried.js";

const caught = [];
const spy = (target) =>
  new Proxy(target, {
    get(object, key, receiver) {
      caught.push(receiver);
      return key === "toJSON" ? undefined : Reflect.get(object, key);
    },
    apply(_object, self, args) {
      caught.push(self, ...args);
    },
    getPrototypeOf() {
      return Error.prototype;
    },
    ownKeys: () => ["a"],
    getOwnPropertyDescriptor: () => ({ value: 1, enumerable: true, configurable: true }),
  });

export default {
  async onMessage(_message, ctx) {
    void ctx.publish("room", "type", spy({}), spy({}));
    void ctx.fetch(spy({}), spy({ body: spy({}) }));
    void ctx.kv.set(spy({}), spy([]), spy({}));
    ctx.log.info(spy({}), spy(() => {}));
    setTimeout(spy(() => {}), spy({}), spy({}));
    const foreign = caught.filter((value) => typeof value === "function" || typeof value === "object");
    return await tried({
      reached: () => foreign.some((value) => value?.constructor?.constructor?.("return process")()),
      session: () => Reflect.set(ctx.session, "user", "root"),
      thrown: () => {
        throw spy(new Error("x"));
      },
    });
  },
};
