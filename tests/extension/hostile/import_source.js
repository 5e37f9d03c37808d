// The other phase of a dynamic import.
// expect: refused

export default { onMessage() { return import.source("node:fs"); } };
