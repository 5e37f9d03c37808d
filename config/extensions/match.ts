// A service: two players take turns. Matches are kept in ctx.kv, so that they go on after a reload, a crash or, with a
// state_dir, a restart of the gateway.
//
//   match:open           -> reply { room }; the sender plays "x" and is in the room
//   match:enter  (room)  -> reply { board, mark: "o" }; the room is told `started`
//   match:move   (room)  { cell: 0..8 } -> reply { board }; the room is told `moved`, and `ended` after the last move
//   match:wins           -> reply [{ user, wins }]
//
// Options: { idle_minutes: number }, after which a match that nobody plays on is forgotten.

import type { Extension, Message, SessionContext } from "wsprism";
import { type Board, EMPTY, hasWon, isFree, isFull, type Mark, withMark } from "./board.ts";

interface Match {
  readonly players: { readonly x: string; readonly o: string | null };
  readonly board: Board;
  readonly turn: Mark;
}

const refuse = (msg: string): never => {
  throw new ExtensionError("BAD_REQUEST", msg);
};

/** What is under way in each room. Two players' messages may come at the same time, and each reads before it writes. */
const busy = new Map<string, Promise<unknown>>();

async function inTurn<T>(room: string, task: () => Promise<T>): Promise<T> {
  const mine = (busy.get(room) ?? Promise.resolve()).then(task, task);
  busy.set(room, mine);
  try {
    return await mine;
  } finally {
    if (busy.get(room) === mine) busy.delete(room);
  }
}

async function open(ctx: SessionContext) {
  const room = `match:${await ctx.kv.increment("opened")}`;
  await save(room, { players: { x: ctx.session.user, o: null }, board: EMPTY, turn: "x" }, ctx);
  await ctx.join(room);
  return { room };
}

async function enter(room: string, ctx: SessionContext) {
  const match = await load(room, ctx);
  const { user } = ctx.session;
  if (match.players.o !== null) return refuse("this match has two players");
  if (match.players.x === user) return refuse("nobody plays against themselves");
  const players = { ...match.players, o: user };
  await save(room, { ...match, players }, ctx);
  await ctx.join(room);
  await ctx.publish(room, "started", { players, board: match.board, turn: match.turn });
  return { board: match.board, mark: "o" };
}

async function move(room: string, cell: unknown, ctx: SessionContext) {
  const match = await load(room, ctx);
  const { board, turn, players } = match;
  if (players.o === null) return refuse("this match has no second player yet");
  if (players[turn] !== ctx.session.user) return refuse("it is not your turn");
  if (!isFree(board, cell)) return refuse("cell must be a free one, 0..8");
  const after = withMark(board, cell, turn);
  await ctx.publish(room, "moved", { cell, mark: turn, board: after });
  if (!hasWon(after, turn) && !isFull(after)) {
    await save(room, { players, board: after, turn: turn === "x" ? "o" : "x" }, ctx);
    return { board: after };
  }
  const winner = hasWon(after, turn) ? players[turn] : null;
  if (winner !== null) await ctx.kv.increment(`wins:${winner}`);
  await ctx.kv.delete(room);
  await ctx.publish(room, "ended", { winner, board: after });
  return { board: after };
}

async function wins(ctx: SessionContext) {
  const entries = await ctx.kv.list<number>("wins:");
  return entries.map(({ key, value }) => ({ user: key.slice("wins:".length), wins: value }));
}

async function load(room: string, ctx: SessionContext): Promise<Match> {
  return await ctx.kv.get<Match>(room) ?? refuse("there is no such match");
}

async function save(room: string, match: Match, ctx: SessionContext): Promise<void> {
  await ctx.kv.set(room, match, { ttl_ms: ctx.options.idle_minutes * 60_000 });
}

export default {
  onMessage({ type, room, data }: Message, ctx: SessionContext) {
    if (type === "open") return open(ctx);
    if (type === "wins") return wins(ctx);
    if (room === null || !room.startsWith("match:")) return refuse("a room match:<number> is needed");
    if (type === "enter") return inTurn(room, () => enter(room, ctx));
    if (type === "move") return inTurn(room, () => move(room, data?.cell, ctx));
    throw new ExtensionError("NOT_FOUND", "there are open, enter, move and wins");
  },
} satisfies Extension;
