// Promises that are rejected and not caught.
// expect: held

export default {
  async onMessage() {
    for (let i = 0; i < 100; i++) void Promise.reject(new Error(`lost ${i}`));
    void Promise.reject(null);
    void (async () => {
      throw undefined;
    })();
    setTimeout(() => {
      throw new Error("in a timer");
    }, 1);
    queueMicrotask(() => {
      throw new Error("in a microtask");
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    return { got: [] };
  },
};
