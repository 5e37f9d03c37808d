// Methods called from within methods, by getters and toJSON.
// expect: held

export default {
  async onMessage(_message, ctx) {
    let depth = 0;
    const data = {
      toJSON() {
        if (depth++ < 50) void ctx.publish("a", "b", data).catch(() => {});
        return depth;
      },
    };
    void ctx.publish("a", "b", data).catch(() => {});
    return {
      get got() {
        ctx.log.info(data);
        void ctx.kv.get("a").catch(() => {});
        return [];
      },
    };
  },
};
