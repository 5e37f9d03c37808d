// A runtime's way to load from there.
// expect: refused import.meta

export default { onMessage() { return import.meta.require("fs"); } };
