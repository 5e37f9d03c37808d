// The stack of an error, which on some engines leads to functions and paths of the host.
// expect: held

import { tried } from "./tried.js";

export default {
  onMessage: (_message, ctx) =>
    tried({
      prepare: () => {
        let frames = null;
        Error.prepareStackTrace = (_error, given) => {
          frames = given;
          return "";
        };
        void new Error("x").stack;
        return frames !== null && frames.some((frame) => frame.getFunction?.() || frame.getThis?.());
      },
      capture: () => {
        const target = {};
        Error.captureStackTrace(target);
        return /[/\\](src|node_modules|bunfs)/.test(String(target.stack));
      },
      path: () => /[/\\](src|node_modules|bunfs|tmp|work)/.test(String(new Error("x").stack)),
      caught: () => {
        try {
          null.x;
        } catch (error) {
          return /script_worker|script_runner|ses/.test(String(error.stack));
        }
      },
      refused: async () => {
        try {
          await ctx.kv.set("k", undefined);
        } catch (error) {
          return /requests\.ts|[/\\]src/.test(String(error.stack));
        }
      },
      host: () => {
        try {
          structuredClone(() => {});
        } catch (error) {
          return /globals\.ts/.test(String(error.stack)) || error.constructor !== TypeError;
        }
      },
      limit: () => {
        Error.stackTraceLimit = 1000;
        return /[/\\]src/.test(String(new Error("x").stack));
      },
    }),
};
