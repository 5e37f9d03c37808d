// A promise that is resolved again, and again later.
// expect: reply "first"

export default {
  onMessage: () => ({
    then(resolve, reject) {
      resolve("first");
      resolve("second");
      reject(new Error("third"));
      setTimeout(() => resolve("fourth"), 1);
    },
  }),
};
