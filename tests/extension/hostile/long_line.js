// One line of many long words: it is cut, and its host and its neighbours live on.
// expect: reply "alive"

export default {
  onMessage(_message, ctx) {
    console.log(...Array(9).fill("x".repeat(8000)));
    ctx.log.warn(...Array(10_000).fill("x".repeat(8000)));
    return "alive";
  },
};
