// Control: the least that an echo of datagrams over WebTransport can be, on Deno's own server for it. Its argument is a
// certificate and its key, in JSON; it prints its port.

import process from "node:process";

interface Pair {
  readonly cert: string;
  readonly key: string;
}

// Not in the types of this project's other runtimes.
// deno-lint-ignore no-explicit-any
const { QuicEndpoint, upgradeWebTransport } = Deno as any;
const { cert, key } = JSON.parse(process.argv[2] ?? "") as Pair;
const endpoint = new QuicEndpoint({ hostname: "127.0.0.1", port: 0 });
const listener = endpoint.listen({ cert, key, alpnProtocols: ["h3"] });
process.stdout.write(`${endpoint.addr.port}\n`);
for (;;) {
  const incoming = await listener.incoming();
  void (async () => {
    const session = await upgradeWebTransport(await incoming.accept());
    await session.ready;
    await session.datagrams.readable.pipeTo(session.datagrams.writable);
  })().catch(() => {});
}
