// A module that throws while it is loaded.
// expect: failed at load

throw new Error("at load");
