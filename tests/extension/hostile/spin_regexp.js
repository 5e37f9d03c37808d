// A regular expression that tries everything.
// expect: killed

export default {
  onMessage() {
    return /^(a+)+$/.test("a".repeat(40) + "!") && /^(([a-z])+.)+[A-Z]([a-z])+$/.test("a".repeat(60));
  },
};
