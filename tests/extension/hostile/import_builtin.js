// A runtime's own module.
// expect: refused only files of its own

import fs from "node:fs";

export default { onMessage: () => fs.readFileSync("/etc/passwd", "utf8") };
