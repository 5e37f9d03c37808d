// Listeners on the worker's own global object.
// expect: held

import { tried } from "./tried.js";

export default {
  onMessage: () =>
    tried({
      target: () => EventTarget.prototype.addEventListener.call(undefined, "message", () => {}),
      listen: () => addEventListener("message", () => {}),
      signal: () => new AbortController().signal,
      url: () => URL.createObjectURL,
      clone: () => structuredClone(globalThis) && false,
    }),
};
