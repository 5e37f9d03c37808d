// A dynamic import over two lines.
// expect: refused import

export default { onMessage() { return import
("node:fs"); } };
