// The same from its other end.
// expect: refused HTML

/* */ --> import("node:fs")

export default { onMessage() {} };
