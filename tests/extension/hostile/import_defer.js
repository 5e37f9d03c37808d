// A dynamic import that looks like a method: it once passed a check for "import(".
// expect: refused

export default { onMessage() { return import.defer("node:fs"); } };
