// An error that throws when it is read.
// expect: thrown cannot be read

export default {
  onMessage() {
    const error = new Error("x");
    Object.defineProperty(error, "message", {
      get() {
        throw error;
      },
    });
    throw error;
  },
};
