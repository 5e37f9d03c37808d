// The runtime's own functions behind the globals, given what they do not expect.
// expect: held

import { tried } from "./tried.js";

const foreign = (value) => value !== null && typeof value === "object" && !(value instanceof Object);

export default {
  onMessage: () =>
    tried({
      clone: () => foreign(structuredClone({ a: new Map(), b: new Date(), c: /x/, d: new Error("x") })),
      transfer: () => {
        const bytes = new Uint8Array(8);
        structuredClone(bytes, { transfer: [bytes.buffer] });
        return bytes.length === 0;
      },
      label: () => new TextDecoder({ toString: () => "utf-8" }).constructor !== TextDecoder,
      error: () => {
        try {
          new URL("::");
        } catch (error) {
          return Object.getPrototypeOf(error) !== TypeError.prototype;
        }
      },
      atob: () => {
        try {
          atob("%");
        } catch (error) {
          return Object.getPrototypeOf(error) !== TypeError.prototype;
        }
      },
      random: () => crypto.getRandomValues(new Uint8Array(65_537)),
      view: () => crypto.getRandomValues(new DataView(new ArrayBuffer(8))),
      subclass: () => {
        class Sly extends Uint8Array {
          get buffer() {
            return globalThis;
          }
        }
        return crypto.getRandomValues(new Sly(8)) === globalThis;
      },
      subtle: () => crypto.subtle,
      params: () => new URLSearchParams({ params: { get: () => 1 } }).get("x"),
      intl: () => new Intl.DateTimeFormat().format.constructor("return process")(),
      date: () => new (class extends Date {})() instanceof Date === false,
    }),
};
