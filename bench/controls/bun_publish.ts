/// <reference path="../bun.d.ts" />
// Control: fan-out as Bun does it natively. Every session subscribes to the topic that its URL names
// (`?room=`); what it sends goes to the whole topic, itself included, by `server.publish`. Prints its port.

const server = Bun.serve<{ readonly room: string }>({
  hostname: "127.0.0.1",
  port: 0,
  fetch: (request, server) => {
    const room = new URL(request.url).searchParams.get("room") ?? "r";
    return server.upgrade(request, { data: { room } }) ? undefined : new Response(null, { status: 426 });
  },
  websocket: {
    idleTimeout: 0,
    open: (socket) => {
      socket.subscribe(socket.data.room);
    },
    message: (socket, message) => {
      server.publish(socket.data.room, message);
    },
  },
});
process.stdout.write(`${server.port}\n`);
