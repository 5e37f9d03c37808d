// A little more in every turn, so that it always yields.
// expect: killed

export default {
  onMessage() {
    const all = [];
    return (async () => {
      for (;;) {
        all.push(new Uint8Array(4_000_000).fill(1));
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    })();
  },
};
