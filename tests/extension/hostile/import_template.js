// A dynamic import within a template.
// expect: refused import

export default { onMessage() { return `${import("node:fs")}`; } };
