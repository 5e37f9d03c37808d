/// <reference path="../bun.d.ts" />
// A backend that costs next to nothing: answers a service after some time, takes webhooks and counts their events. Runs on
// Bun; prints its port.
//   POST /service/MS   after MS milliseconds `{"reply": <data of the question>}`
//   POST /hooks        204; adds up the events
//   GET /events        how many came so far

let events = 0;

async function answer(request: Request): Promise<Response> {
  const { pathname } = new URL(request.url);
  if (pathname === "/events") return Response.json(events);
  const body = await request.json();
  if (pathname === "/hooks") {
    events += body.events.length;
    return new Response(null, { status: 204 });
  }
  const ms = Number(pathname.slice("/service/".length));
  await new Promise((resolve) => setTimeout(resolve, ms));
  return Response.json({ reply: body.data });
}

const server = Bun.serve<Record<never, never>>({
  hostname: "127.0.0.1",
  port: 0,
  fetch: answer,
  websocket: { message: () => {} },
});
process.stdout.write(`${server.port}\n`);
