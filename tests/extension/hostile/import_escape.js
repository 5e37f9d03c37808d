// A keyword that is written with an escape.
// expect: refused

export default { onMessage() { return \u0069mport("node:fs"); } };
