// A list that grows.
// expect: killed

export default {
  onMessage() {
    const list = [];
    for (;;) list.push({ a: list.length });
  },
};
