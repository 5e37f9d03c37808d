// Line separators between the words.
// expect: refused import

export default { onMessage() { return import
 . 
 defer  ("node:fs"); } };
