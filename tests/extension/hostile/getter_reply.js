// A reply that throws when it is read.
// expect: thrown from a getter

export default {
  onMessage: () => ({
    get a() {
      throw new Error("from a getter");
    },
  }),
};
