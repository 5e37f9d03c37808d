// Many pieces of a few MB.
// expect: killed

export default {
  onMessage() {
    const all = [];
    for (;;) all.push(new Uint8Array(8_000_000).fill(1));
  },
};
