// A package that the gateway has.
// expect: refused only files of its own

import { z } from "zod";

export default { onMessage: () => typeof z };
