// A reply of 100 MB.
// expect: bounded

export default { onMessage: () => "x".repeat(100_000_000) };
