// A call that is never answered keeps nobody from the next.
// expect: held

let calls = 0;

export default {
  onMessage() {
    for (let i = 0; i < 100_000; i++) void new Promise(() => {});
    return calls++ === 0 ? { got: [] } : new Promise(() => {});
  },
};
