// The same behind the body of a class.
// expect: refused import

let leak, x; const g = 1;
x = class {}
/(leak = import.defer("node:fs"))/g
export default { async onMessage() { return Object.keys(await leak).length; } };
