// 3 GB in one piece, written to.
// expect: killed

export default {
  onMessage() {
    return new Uint8Array(3_000_000_000).fill(1).length;
  },
};
