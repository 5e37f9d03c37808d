// A module of the net.
// expect: refused only files of its own

import "https://example.com/x.js";

export default { onMessage() {} };
