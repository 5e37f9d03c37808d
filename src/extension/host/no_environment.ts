// Takes the environment out of a worker, before anything else is loaded in it: libraries look for settings there, which a
// worker without permissions may not read, and which nobody is to set.

import process from "node:process";

Object.defineProperty(process, "env", { value: Object.freeze({}) });
