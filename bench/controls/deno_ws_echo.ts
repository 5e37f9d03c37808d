// Control: the least that an echo with `node:http` and the package `ws` can be, the pair that the gateway
// stands on with Deno. Runs on Deno. Prints its port.

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { WebSocketServer } from "ws";

const http = createServer();
const sockets = new WebSocketServer({ server: http, perMessageDeflate: false });
sockets.on("connection", (socket) => {
  socket.on("message", (message, binary) => socket.send(message, { binary }));
});
http.listen(0, "127.0.0.1", () => {
  process.stdout.write(`${(http.address() as AddressInfo).port}\n`);
});
