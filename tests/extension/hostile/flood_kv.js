// Keys until nothing more is taken.
// expect: flow

export default {
  async onMessage(_message, ctx) {
    let kept = 0;
    try {
      for (;; kept++) await ctx.kv.set(`key ${kept}`, "v".repeat(1000));
    } catch {
      return kept;
    }
  },
};
