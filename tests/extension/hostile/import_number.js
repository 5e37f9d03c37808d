// A number's dot in front, and a line end.
// expect: refused import

const x = 1.
import("node:fs")
export default { onMessage() {} };
