// Memory without end, with the compartment gone.
// expect: killed

export default {
  onMessage() {
    const all = [];
    for (;;) all.push(new Uint8Array(8_000_000).fill(1));
  },
};
