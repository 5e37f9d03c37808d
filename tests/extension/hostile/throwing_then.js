// A `then` that cannot be read.
// expect: thrown no then

export default {
  onMessage: () => ({
    get then() {
      throw new Error("no then");
    },
  }),
};
