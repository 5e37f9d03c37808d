// A module that waits while it is loaded.
// expect: refused await

await new Promise(() => {});

export default { onMessage() {} };
