// A re-export of what cannot be imported.
// expect: refused only files of its own

export * from "node:fs";

export default { onMessage() {} };
