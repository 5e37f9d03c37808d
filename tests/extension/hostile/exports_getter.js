// Hooks that are something else.
// expect: failed onMessage must be a function

export default { get onMessage() { return {}; } };
