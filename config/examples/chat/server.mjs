// The chat's backend, on Node alone: serves the page, and gives whoever asks a ticket for a few minutes. A real one would
// know its users by a session; this one believes any name.

import { createHmac } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import process from "node:process";

const secret = process.env.WSPRISM_CHAT_SECRET;
if (!secret) throw new Error("WSPRISM_CHAT_SECRET must be the secret that the gateway has");
const gateway = process.env.WSPRISM_GATEWAY ?? "ws://127.0.0.1:8080";
const port = Number(process.env.CHAT_PORT ?? 8090);

const base64url = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

/** A JSON Web Token, as docs/authentication.md has it. */
function ticket(user, ttlS = 300) {
  const exp = Math.floor(Date.now() / 1000) + ttlS;
  const said = `${base64url({ alg: "HS256", typ: "JWT", kid: "k1" })}.${
    base64url({ sub: user, exp, rooms: ["chat:*"] })
  }`;
  return `${said}.${createHmac("sha256", secret).update(said).digest("base64url")}`;
}

const here = new URL(".", import.meta.url);
const FILES = {
  "/": [new URL("index.html", here), "text/html"],
  "/chat.js": [new URL("chat.js", here), "text/javascript"],
  // An application would have it from its bundler: npm install wsprism-client.
  "/wsprism-client.js": [new URL("../../../src/ops/playground/client.js", here), "text/javascript"],
};

const server = createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url, "http://localhost");
  if (request.method === "POST" && pathname === "/ticket") {
    const user = searchParams.get("user") ?? "";
    const isGood = /^[\w.-]{1,32}$/.test(user);
    response.writeHead(isGood ? 200 : 400, { "content-type": "application/json" });
    return response.end(
      JSON.stringify(isGood ? { ticket: ticket(user), gateway } : { error: "a name is 1-32 letters" }),
    );
  }
  const file = request.method === "GET" ? FILES[pathname] : undefined;
  if (file === undefined) return response.writeHead(404).end();
  response.writeHead(200, { "content-type": `${file[1]}; charset=utf-8` });
  response.end(await readFile(file[0]));
});
server.listen(
  port,
  "127.0.0.1",
  () => process.stdout.write(`open http://127.0.0.1:${server.address().port}\n`),
);
