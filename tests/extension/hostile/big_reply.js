// A reply of 100 MB.
// expect: thrown max_reply_bytes

export default { onMessage: () => "x".repeat(100_000_000) };
