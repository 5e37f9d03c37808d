// 3 GB in one piece, with the compartment gone.
// expect: killed

export default {
  onMessage() {
    return new Uint8Array(3_000_000_000).fill(1).length;
  },
};
