// A comment that one parser sees and another does not.
// expect: refused

let x = 1;
x <!-- import("node:fs")

export default { onMessage() {} };
