// Microtasks that never end, so that no macrotask comes.
// expect: killed

export default {
  onMessage() {
    const again = () => Promise.resolve().then(again);
    return again();
  },
};
