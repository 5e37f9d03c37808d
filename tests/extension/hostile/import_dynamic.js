// The plain dynamic import.
// expect: refused import

export default { onMessage() { return import("node:fs"); } };
