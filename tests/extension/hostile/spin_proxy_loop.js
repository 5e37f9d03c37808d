// A prototype chain without an end.
// expect: killed

export default {
  onMessage() {
    let p = {};
    p = new Proxy({}, { getPrototypeOf: () => p, get(_t, k) { for (;;) void k; } });
    return p.x;
  },
};
