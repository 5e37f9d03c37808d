// Dots in front that are no property's.
// expect: refused import

export default { onMessage() { return [...import("node:fs")]; } };
