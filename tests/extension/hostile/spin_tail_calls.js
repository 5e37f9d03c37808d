// Calls that an engine with proper tail calls runs for ever.
// expect: killed

export default {
  onMessage() {
    "use strict";
    const even = (n) => odd(n + 1);
    const odd = (n) => even(n + 1);
    for (;;) { try { even(0); } catch { /* the stack, elsewhere */ } }
  },
};
