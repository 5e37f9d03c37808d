// The function that imports became.
// expect: held

import { tried } from "./tried.js";

export default {
  onMessage: () =>
    tried({
      fs: () => require("fs"),
      node: () => require("node:fs"),
      process: () => require("process"),
      main: () => require.main,
      cache: () => require.cache,
      resolve: () => require.resolve,
      array: () => require(["./tried.js"]) && false,
      proto: () => require("__proto__"),
      toString: () => require("toString"),
      module: () => module,
      changed: () => {
        require.imports = 1;
        return require.imports === 1;
      },
    }),
};
