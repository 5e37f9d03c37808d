// The same behind an increment.
// expect: refused import

let leak, x = 1; const g = 1;
x++ /(leak = import.defer("node:fs"))/g
export default { async onMessage() { return Object.keys(await leak).length; } };
