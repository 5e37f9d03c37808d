// A module in its own name.
// expect: refused only files of its own

import "data:text/javascript,globalThis.got=1";

export default { onMessage() {} };
