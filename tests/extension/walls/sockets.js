// Sockets of every kind, with the compartment gone.
// expect: held

import { tried } from "../hostile/tried.js";

export default {
  onMessage({ data }) {
    const { port } = data;
    const net = unwalled.builtin("node:net");
    const opened = (socket, event = "connect") =>
      new Promise((resolve, reject) => socket.on(event, () => resolve(true)).on("error", reject));
    const within = (promise) => Promise.race([promise, new Promise((resolve) => setTimeout(() => resolve(false), 1000))]);
    const attempts = {
      tcp: () => within(opened(net.connect(port, "127.0.0.1"))),
      unix: () => within(opened(net.connect("/tmp/wsprism-no.sock"))),
      abstract: () => within(opened(net.connect("\0wsprism-no"))),
      listen: () => within(opened(net.createServer().listen(0, "127.0.0.1"), "listening")),
      listenUnix: () => within(opened(net.createServer().listen("/tmp/wsprism-made.sock"), "listening")),
      udp: () => {
        const socket = unwalled.builtin("node:dgram").createSocket("udp4");
        return within(new Promise((resolve, reject) => {
          socket.on("error", reject);
          socket.send("x", port, "127.0.0.1", (error) => error ? reject(error) : resolve(true));
        }));
      },
      http: () => within(fetch(`http://127.0.0.1:${port}/`).then(() => true)),
      dns: () => within(unwalled.builtin("node:dns").promises.resolve4("example.com").then(() => true)),
      websocket: () =>
        within(new Promise((resolve, reject) => {
          const socket = new WebSocket(`ws://127.0.0.1:${port}/`);
          socket.onopen = () => resolve(true);
          socket.onerror = () => reject(new Error("no"));
        })),
    };
    const { Bun, Deno } = globalThis;
    if (Deno) {
      // There they throw where nobody catches, and the worker is gone; its own ways are asked below.
      delete attempts.listen;
      delete attempts.udp;
      delete attempts.listenUnix;
    }
    if (Bun) {
      attempts.bunServe = () => Bun.serve({ port: 0, fetch: () => new Response("x") }) && true;
      attempts.bunConnect = () => within(Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } }).then(() => true));
      attempts.bunUdp = () => Bun.udpSocket({}).then(() => true);
    }
    if (Deno) {
      attempts.denoListen = () => Deno.listen({ port: 0 }) && true;
      attempts.denoUdp = () => Deno.listenDatagram?.({ port: 0, transport: "udp" });
      attempts.denoConnect = () => within(Deno.connect({ port }).then(() => true));
    }
    return tried(attempts);
  },
};
