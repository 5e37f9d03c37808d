// Prototypes that only what Intl makes leads to.
// expect: held

import { tried } from "./tried.js";

const segments = new Intl.Segmenter().segment("a b");
export default {
  onMessage: () =>
    tried({
      segments: () => !Object.isFrozen(Object.getPrototypeOf(segments)),
      iterator: () => !Object.isFrozen(Object.getPrototypeOf(segments[Symbol.iterator]())),
    }),
};
