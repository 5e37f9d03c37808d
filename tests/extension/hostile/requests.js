// A million requests: what waits is bounded, the rest is refused at once.
// expect: held

export default {
  async onMessage(_message, ctx) {
    let refused = 0;
    for (let i = 0; i < 1000; i++) ctx.kv.set(`k${i}`, i).catch(() => refused++);
    await null;
    await null;
    await null;
    return { got: refused >= 900 ? [] : [`only ${refused} refused`] };
  },
};
