// A real promise with methods of its own.
// expect: reply "kept"

export default {
  onMessage() {
    const promise = Promise.resolve("kept");
    promise.then = (settle) => {
      settle("one");
      settle("two");
    };
    Object.defineProperty(promise, "constructor", { get: () => Promise });
    return promise;
  },
};
