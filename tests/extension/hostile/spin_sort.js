// A sort that does not end.
// expect: killed

export default {
  onMessage() {
    const list = Array.from({ length: 1e5 }, (_, i) => i);
    for (;;) list.sort(() => Math.random() - 0.5);
  },
};
