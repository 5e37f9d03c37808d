// A million publishes.
// expect: flow

export default {
  onMessage(_message, ctx) {
    for (let i = 0; i < 1_000_000; i++) ctx.publish("flood", "f", i).catch(() => {});
    return null;
  },
};
