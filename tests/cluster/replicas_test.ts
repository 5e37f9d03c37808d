import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { CHANGE, type Change, Journal } from "../../src/cluster/journal.ts";
import { Nodes } from "../../src/cluster/nodes.ts";
import { Replicas } from "../../src/cluster/replicas.ts";
import { Subjects } from "../../src/cluster/subjects.ts";
import { decode, KIND } from "../../src/cluster/wire.ts";
import { SILENT } from "../../src/log.ts";
import { FakeNats } from "./fake_nats.ts";

/** A node with sessions, which rooms they are in, and what it knows of the other's. */
class Node {
  readonly sessions = new Map<string, Map<string, number>>();
  readonly journal: Journal;
  readonly nodes: Nodes;
  readonly replicas: Replicas;
  /** Who is in a room elsewhere, by what was told. */
  readonly told = new Map<string, number>();
  readonly #later: (() => void)[] = [];
  #members = 0;

  constructor(nats: FakeNats, incarnation: string, now: () => number) {
    const link = nats.link(), subjects = new Subjects("p");
    const later = (_ms: number, task: () => void) => void this.#later.push(task);
    this.journal = new Journal({ incarnation, link, subjects, later, state: () => this.#state() });
    const facts = () => ({ name: incarnation, version: "1", startedMs: 0, sessions: 0, draining: false });
    const journaled = () => this.journal.published;
    this.nodes = new Nodes({ incarnation, link, subjects, facts, journaled, now, log: SILENT });
    this.replicas = new Replicas({ nodes: this.nodes, link, subjects, now, log: SILENT });
    this.replicas.of("t").watch({
      joined: ({ session, room }) => this.#note(`${session.session} ${room}`, 1),
      left: ({ session, room }) => this.#note(`${session.session} ${room}`, -1),
    });
    const hear = (payload: Uint8Array) => {
      const { kind, fields } = decode(payload, { broken: 0, unknown: 0 })!;
      if (kind === KIND.beat) this.nodes.heardBeat(fields);
      else if (kind === KIND.bye) this.nodes.heardGoodbye(fields);
      else if (kind === KIND.journal) assert.ok(this.replicas.heardJournal(fields));
      else if (kind === KIND.snapshot) assert.ok(this.replicas.heardSnapshot(fields));
      else if (kind === KIND.ask) this.journal.tell(fields[0] as string, fields[1] as number);
    };
    link.listen(subjects.all, hear);
    link.listen(subjects.node(incarnation), hear);
  }

  open(session: string): void {
    if (this.sessions.has(session)) return;
    this.sessions.set(session, new Map());
    this.journal.add([CHANGE.opened, "t", session, `user of ${session}`, "sid", "trace", 1]);
  }

  close(session: string): void {
    for (const room of this.sessions.get(session)?.keys() ?? []) this.leave(session, room);
    if (this.sessions.delete(session)) this.journal.add([CHANGE.closed, "t", session]);
  }

  join(session: string, room: string): void {
    const rooms = this.sessions.get(session);
    if (rooms === undefined || rooms.has(room)) return;
    rooms.set(room, ++this.#members);
    this.journal.add([CHANGE.joined, "t", session, room, this.#members]);
  }

  leave(session: string, room: string): void {
    if (this.sessions.get(session)?.delete(room)) this.journal.add([CHANGE.left, "t", session, room]);
  }

  get rooms(): string[] {
    return [...this.sessions].flatMap(([session, rooms]) =>
      [...rooms.keys()].map((room) => `${session} ${room}`)
    );
  }

  /** Runs what was put off. */
  run(): void {
    for (const task of this.#later.splice(0)) task();
  }

  #note(who: string, by: number): void {
    const count = (this.told.get(who) ?? 0) + by;
    assert.ok(count === 0 || count === 1, `${who} was told of twice`);
    if (count === 0) this.told.delete(who);
    else this.told.set(who, count);
  }

  *#state(): Generator<Change> {
    for (const [session, rooms] of this.sessions) {
      yield [CHANGE.opened, "t", session, `user of ${session}`, "sid", "trace", 1];
      for (const [room, member] of rooms) yield [CHANGE.joined, "t", session, room, member];
    }
  }
}

const step = fc.oneof(
  fc.record({
    op: fc.constantFrom("open", "close", "join", "join", "leave"),
    node: fc.constantFrom(0, 1),
    session: fc.integer({ min: 0, max: 5 }),
    room: fc.constantFrom("r", "s"),
  }),
  fc.record({ op: fc.constantFrom("settle", "run", "beat", "lose", "keep") }),
);

test("Whatever is lost on the way, nodes agree in the end, and each join and leave was told once", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const nats = new FakeNats();
      let ms = 0, loses = false;
      nats.loses = () => loses;
      const nodes = [new Node(nats, "a", () => ms), new Node(nats, "b", () => ms)] as const;
      const beat = () => nodes.forEach((node) => node.nodes.beat());
      const settle = () => {
        for (const node of nodes) node.journal.flush();
        nats.settle();
      };
      for (const one of steps) {
        if ("node" in one) {
          const node = nodes[one.node]!, session = `${one.node}-${one.session}`;
          if (one.op === "open") node.open(session);
          else if (one.op === "close") node.close(session);
          else if (one.op === "join") node.join(session, one.room);
          else node.leave(session, one.room);
        } else if (one.op === "settle") settle();
        else if (one.op === "run") nodes.forEach((node) => node.run());
        else if (one.op === "beat") beat();
        else loses = one.op === "lose";
      }
      loses = false;
      for (let round = 0; round < 5; round++) {
        ms += 3000;
        settle();
        beat();
        settle();
        for (const node of nodes) node.run();
        settle();
      }
      for (const [own, other] of [nodes, [nodes[1], nodes[0]]] as const) {
        assert.deepEqual([...own.told.keys()].sort(), other.rooms.sort());
        const peers = own.replicas.of("t");
        assert.equal(peers.size, other.sessions.size);
        assert.equal(peers.members, other.rooms.length);
      }
      nodes[1].nodes.goodbye();
      settle();
      assert.deepEqual([...nodes[0].told.keys(), nodes[0].replicas.of("t").size], [0]);
    }),
    { numRuns: 300 },
  );
});

test("What is long to tell comes in pages, and what changes meanwhile is in it", () => {
  const nats = new FakeNats();
  const a = new Node(nats, "a", () => 0), b = new Node(nats, "b", () => 0);
  for (let i = 0; i < 1500; i++) a.open(`s${i}`);
  a.nodes.beat();
  a.journal.flush();
  nats.settle();
  b.nodes.beat();
  nats.settle();
  a.close("s3");
  a.open("new");
  a.join("new", "r");
  for (let i = 0; i < 5; i++) {
    a.journal.flush();
    nats.settle();
    a.run();
  }
  nats.settle();
  const peers = b.replicas.of("t");
  assert.deepEqual([peers.size, peers.find("s3"), peers.rooms.get("r")?.members.size], [1500, undefined, 1]);
});
