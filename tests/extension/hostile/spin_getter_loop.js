// A loop in a getter of an error.
// expect: killed

export default {
  onMessage() {
    throw Object.defineProperty(new Error("x"), "message", { get() { for (;;); } });
  },
};
