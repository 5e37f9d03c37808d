// What a module knows of its own place.
// expect: refused import.meta

export default { onMessage() { return import.meta.url; } };
