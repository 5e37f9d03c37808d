// A loop of awaits, which looks as if it yielded.
// expect: killed

export default {
  onMessage() {
    return (async () => { for (;;) await null; })();
  },
};
