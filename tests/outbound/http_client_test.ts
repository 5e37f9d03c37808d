// The client against real servers, the ones on raw sockets doing what no good server does.

import { strict as assert } from "node:assert";
import { Buffer } from "node:buffer";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, createServer as createRawServer, type Server, type Socket } from "node:net";
import { test } from "node:test";
import type { HttpResponse } from "../../src/outbound/http1.ts";
import { HttpClient, type Post } from "../../src/outbound/http_client.ts";
import { Inflow } from "../../src/outbound/inflow.ts";
import type { NoAnswer } from "../../src/outbound/wire.ts";
import { makePair } from "../certificates.ts";

const share = new Inflow(() => performance.now()).share();

function listen(server: Server): Promise<number> {
  return new Promise((resolve) =>
    server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port))
  );
}

/** A client of a server that answers this way, for as long as `use` runs. */
async function against(
  server: Server & { closeAllConnections?(): void },
  use: (client: HttpClient, port: number) => Promise<void>,
  path = "/hook?a=1",
): Promise<void> {
  const port = await listen(server);
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => sockets.add(socket));
  const headers = { "x-key": "k" };
  const client = new HttpClient({
    url: `http://127.0.0.1:${port}${path}`,
    headers,
    bodyBytesMax: 1000,
    share,
  });
  try {
    await use(client, port);
  } finally {
    client.close();
    for (const socket of sockets) socket.destroy();
    server.close();
  }
}

const http = (answer: (request: IncomingMessage, response: ServerResponse, body: string) => void) =>
  createServer((request, response) => {
    const chunks: Uint8Array[] = [];
    request.on("data", (chunk: Uint8Array) => chunks.push(chunk));
    request.on("end", () => answer(request, response, Buffer.concat(chunks).toString()));
  });

const raw = (onSocket: (socket: Socket) => void) =>
  createRawServer((socket) => {
    socket.on("error", () => {});
    onSocket(socket);
  });

function post(client: HttpClient, more: Partial<Post> = {}): Promise<HttpResponse | NoAnswer> {
  return client.post({ body: "{}", headers: {}, timeoutMs: 5000, repeatable: false, ...more });
}

function told(answer: HttpResponse | NoAnswer): string {
  return answer.ok ? `${answer.status} ${answer.body}` : answer.reason;
}

async function eventually(done: () => boolean): Promise<void> {
  const since = performance.now();
  while (!done()) {
    assert.ok(performance.now() - since < 4000, "it does not come to pass");
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

test("A GET has no body and no length, and shares the connections", async () => {
  let connections = 0;
  const server = http((request, response, body) => {
    const { method, url, headers } = request;
    const { "x-key": key, "x-more": more, "content-length": length = null } = headers;
    response.end(JSON.stringify([method, url, key, more, length, body]));
  });
  server.on("connection", () => connections++);
  await against(server, async (client) => {
    const get = { headers: { "x-more": "m" }, timeoutMs: 5000, repeatable: true };
    assert.equal(told(await client.get(get)), '200 ["GET","/hook?a=1","k","m",null,""]');
    assert.ok((await post(client)).ok);
    assert.ok((await client.get(get)).ok);
    assert.equal(connections, 1);
  });
});

test("A request is what was asked for, and connections are kept and used again", async () => {
  let connections = 0;
  const server = http((request, response, body) => {
    const { method, url, headers } = request;
    response.end(
      JSON.stringify([method, url, headers["x-key"], headers["x-more"], headers["content-length"], body]),
    );
  });
  server.on("connection", () => connections++);
  await against(server, async (client, port) => {
    const answer = await post(client, { body: '{"a":"ä"}', headers: { "x-more": "m" } });
    assert.equal(told(answer), '200 ["POST","/hook?a=1","k","m","10","{\\"a\\":\\"ä\\"}"]');
    for (let i = 0; i < 5; i++) assert.ok((await post(client)).ok);
    assert.deepEqual([connections, client.connections], [1, 1]);
    const all = await Promise.all([post(client), post(client), post(client)]);
    assert.deepEqual(all.map(({ ok }) => ok), [true, true, true]);
    assert.deepEqual([connections, client.connections], [3, 3], `to ${port}`);
  });
});

test("Redirects and errors are answers like any other", async () => {
  const server = http((_, response, body) => {
    response.writeHead(Number(body), { location: "http://127.0.0.1:1/" }).end("no");
  });
  await against(server, async (client) => {
    for (const status of [302, 307, 404, 500]) {
      assert.equal(told(await post(client, { body: `${status}` })), `${status} no`);
    }
  });
});

test("No answer in time is told in time, whether nothing comes or half of it", async () => {
  for (const said of ["", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel"]) {
    await against(raw((socket) => socket.on("data", () => socket.write(said))), async (client) => {
      assert.equal(told(await post(client, { timeoutMs: 30, repeatable: true })), "timeout");
      assert.equal(client.connections, 1, "until its close has been seen");
    });
  }
});

test("What is too large or no HTTP is refused while it comes, and its connection dropped", async () => {
  const huge = (socket: Socket) => {
    socket.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    const chunk = `10000\r\n${"x".repeat(65_536)}\r\n`;
    const more = () => {
      while (!socket.destroyed && socket.write(chunk));
    };
    socket.on("drain", more);
    more();
  };
  const cases: readonly (readonly [(socket: Socket) => void, RegExp])[] = [
    [huge, /larger than 1000 bytes/],
    [(socket) => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n"), /larger than 1000/],
    [(socket) => socket.write("\x00\x01\x02\r\n\r\n"), /not HTTP/],
    [(socket) => socket.end("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel"), /midway/],
  ];
  for (const [answer, why] of cases) {
    let closed: () => void = () => {};
    const gone = new Promise<void>((resolve) => closed = resolve);
    const server = raw((socket) => {
      socket.once("close", closed);
      socket.once("data", () => answer(socket));
    });
    await against(server, async (client) => {
      const got = await post(client, { repeatable: true });
      assert.ok(!got.ok && got.reason === "unreadable" && why.test(got.msg), JSON.stringify(got));
      await gone;
    });
  }
});

test("A kept connection that has ended is replaced where the request may be repeated, and else told", async () => {
  for (const repeatable of [true, false]) {
    let asked = 0;
    // The second request on a connection finds it gone: its server reads it and hangs up.
    const server = raw((socket) => {
      let first = true;
      socket.on("data", () => {
        asked++;
        if (!first) return void socket.destroy();
        first = false;
        socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
      });
    });
    await against(server, async (client) => {
      assert.equal(told(await post(client, { repeatable })), "200 hi");
      assert.equal(told(await post(client, { repeatable })), repeatable ? "200 hi" : "broken");
      assert.equal(asked, repeatable ? 3 : 2);
    });
  }
});

test("A new connection that ends without an answer is not tried again, nor is one that ends midway", async () => {
  let asked = 0;
  const server = raw((socket) =>
    socket.on("data", () => {
      asked++;
      socket.destroy();
    })
  );
  await against(server, async (client) => {
    assert.equal(told(await post(client, { repeatable: true })), "broken");
    assert.equal(asked, 1);
  });
});

test("A connection that says something unasked, or asks to be closed, is not used again", async () => {
  let connections = 0;
  const extra =
    "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
  const close = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi";
  const none = "HTTP/1.1 200 OK\r\nkeep-alive: timeout=1\r\ncontent-length: 2\r\n\r\nhi";
  for (const said of [extra, close, none]) {
    connections = 0;
    const server = raw((socket) => {
      connections++;
      socket.on("data", () => socket.write(said));
    });
    await against(server, async (client) => {
      assert.equal(told(await post(client)), "200 hi");
      assert.equal(told(await post(client)), "200 hi");
      assert.equal(connections, 2, said);
    });
  }
});

test("Nobody there is told as such, and after the close no connection is kept", async () => {
  const server = raw(() => {});
  const port = await listen(server);
  await new Promise((resolve) => server.close(resolve));
  const client = new HttpClient({ url: `http://127.0.0.1:${port}/`, headers: {}, bodyBytesMax: 10, share });
  assert.equal(told(await post(client)), "unreachable");
  await against(http((_, response) => response.end("hi")), async (open) => {
    assert.equal(told(await post(open)), "200 hi");
    const under = post(open);
    open.close();
    assert.equal(told(await under), "200 hi");
    assert.equal(told(await post(open)), "200 hi");
    await eventually(() => open.connections === 0);
  });
});

test("Over TLS the server must prove that it is who it says", async () => {
  const { cert, key } = makePair("backend");
  const server = createTlsServer({ cert, key }, (_, response) => response.end("hi"));
  const port = await listen(server);
  const client = new HttpClient({ url: `https://127.0.0.1:${port}/`, headers: {}, bodyBytesMax: 10, share });
  const answer = await post(client);
  assert.ok(
    !answer.ok && answer.reason === "unreachable" && /self.signed|certificate/i.test(answer.msg),
    told(answer),
  );
  client.close();
  server.close();
});
