// Code that ends the function which it is put into.
// expect: refused

}); globalThis.got = 1; (function () {

export default { onMessage() {} };
