// A regular expression that tries everything.
// expect: killed

export default {
  onMessage() {
    // Again and again, as an engine may give up on one after a while.
    for (;;) {
      if (/^(a+)+$/.test("a".repeat(40) + "!")) return 1;
      if (/^(([a-z])+.)+[A-Z]([a-z])+$/.test("a".repeat(60))) return 2;
    }
  },
};
