// More timers than it may have.
// expect: held

import { tried } from "./tried.js";

export default {
  onMessage: () =>
    tried({
      many: () => {
        for (let i = 0; i < 1000; i++) setTimeout(() => {}, 1e9);
        return true;
      },
      fast: () => {
        for (let i = 0; i < 1000; i++) setInterval(() => {}, 0);
        return true;
      },
      text: () => setTimeout("globalThis.got = 1", 0),
    }),
};
