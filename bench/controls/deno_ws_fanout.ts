// Control: fan-out as one writes it with `node:http` and the package `ws`: what a session sends goes to every
// member of the room that its URL names (`?room=`), itself included, in a plain loop. Runs on Deno. Prints its port.

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { type WebSocket, WebSocketServer } from "ws";

const rooms = new Map<string, Set<WebSocket>>();
const http = createServer();
const sockets = new WebSocketServer({ server: http, perMessageDeflate: false });
sockets.on("connection", (socket, request) => {
  const name = new URL(request.url ?? "/", "http://127.0.0.1").searchParams.get("room") ?? "r";
  let room = rooms.get(name);
  if (room === undefined) rooms.set(name, room = new Set());
  const members = room;
  members.add(socket);
  socket.on("close", () => members.delete(socket));
  socket.on("message", (message, binary) => {
    for (const member of members) member.send(message, { binary });
  });
});
http.listen(0, "127.0.0.1", () => {
  process.stdout.write(`${(http.address() as AddressInfo).port}\n`);
});
