// A dynamic import with attributes.
// expect: refused import

export default { onMessage() { return import("data:text/javascript,0", { with: { type: "json" } }); } };
