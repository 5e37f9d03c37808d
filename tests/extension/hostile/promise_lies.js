// A real promise with methods of its own.
// expect: reply "kept"

export default {
  onMessage() {
    const promise = Promise.resolve("kept");
    const then = (settle) => {
      settle("one");
      settle("two");
    };
    Object.defineProperty(promise, "then", { value: then });
    Object.defineProperty(promise, "constructor", { get: () => Promise });
    return promise;
  },
};
