/// <reference path="../bun.d.ts" />
// Control: a bare `Bun.serve` that holds WebSockets and does nothing with them, to know the memory
// of an idle session that the runtime takes by itself. Prints its port.

const server = Bun.serve<Record<never, never>>({
  hostname: "127.0.0.1",
  port: 0,
  fetch: (request, server) =>
    server.upgrade(request, { data: {} }) ? undefined : new Response(null, { status: 426 }),
  websocket: { idleTimeout: 0, message: () => {} },
});
process.stdout.write(`${server.port}\n`);
