// Publishes out of timers, in nobody's call.
// expect: flow

export default {
  onMessage(_message, ctx) {
    for (let i = 0; i < 100; i++) setInterval(() => void ctx.publish("flood", "f", i).catch(() => {}), 1);
    return null;
  },
};
