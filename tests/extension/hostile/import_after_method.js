// The same in a method that the engine takes for a division, within a template.
// expect: refused import

let leak; const g = 1;
`${{ async f() {} } /(leak = import.defer("node:fs"))/g}`;
export default { async onMessage() { return Object.keys(await leak).length; } };
