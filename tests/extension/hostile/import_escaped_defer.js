// A keyword in escapes, and its property in others.
// expect: refused

export default { onMessage() { return \u0069mport.d\u0065fer("node:fs"); } };
