// A million lines of log.
// expect: flow

export default {
  onMessage(_message, ctx) {
    for (let i = 0; i < 1_000_000; i++) ctx.log.info("line", i);
    return null;
  },
};
