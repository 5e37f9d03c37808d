// A scope of its own making.
// expect: refused

with (globalThis) { got = 1; }

export default { onMessage() {} };
