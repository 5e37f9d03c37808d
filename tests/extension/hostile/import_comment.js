// A dynamic import with a comment in it.
// expect: refused import

export default { onMessage() { return import/* */ ("node:fs"); } };
