// The same from its other end.
// expect: refused

/* */ --> import("node:fs")

export default { onMessage() {} };
