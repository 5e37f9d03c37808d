/// <reference path="../bun.d.ts" />
// Control: the least that a `Bun.serve` WebSocket echo can be. It says what the runtime itself costs, so
// that what remains of the gateway's cost is the gateway's own. Prints its port.

const server = Bun.serve<Record<never, never>>({
  hostname: "127.0.0.1",
  port: 0,
  fetch: (request, server) =>
    server.upgrade(request, { data: {} }) ? undefined : new Response(null, { status: 426 }),
  websocket: {
    idleTimeout: 0,
    message: (socket, message) => {
      socket.send(message);
    },
  },
});
process.stdout.write(`${server.port}\n`);
