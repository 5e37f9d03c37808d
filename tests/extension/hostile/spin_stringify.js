// JSON, again and again.
// expect: killed

export default {
  onMessage() {
    const list = Array.from({ length: 1e5 }, (_, i) => ({ i }));
    for (;;) JSON.stringify(list);
  },
};
