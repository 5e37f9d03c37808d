// What `wsprism top` shows: the difference of two looks at a gateway, as lines of text.

/** Messages and bytes of a lane since the start. */
interface Traffic {
  readonly messages: number;
  readonly bytes: number;
}

/** A tenant's numbers, as the admin API has them. */
export interface TenantLook {
  readonly id: string;
  readonly suspended: boolean;
  readonly sessions: number;
  readonly rooms: number;
  readonly in: Readonly<Record<string, Traffic>>;
  readonly out: Readonly<Record<string, Traffic>>;
  readonly denied: number;
  readonly dropped: number;
}

/** The gateway at one moment. */
export interface Look {
  /** Milliseconds of a monotonic clock. */
  readonly atMs: number;
  /** Of all tenants, those that are not asked for their numbers too. */
  readonly tenants: number;
  readonly sessions: number;
  readonly looked: readonly TenantLook[];
  /** Samples without labels, by name; null where the key may not read them. */
  readonly process: ReadonlyMap<string, number> | null;
}

/** Samples of a scrape that concern the process, by name. */
const PROCESS =
  /^wsprism_(event_loop_lag_seconds_(?:sum|count)|process_resident_memory_bytes|outbox_bytes|draining) (\S+)$/;

/** Reads what is shown of a scrape. */
export function readProcess(scrape: string): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const line of scrape.split("\n")) {
    const sample = PROCESS.exec(line);
    if (sample !== null) found.set(sample[1]!, Number(sample[2]));
  }
  return found;
}

const HEAD = ["TENANT", "SESSIONS", "ROOMS", "IN/s", "IN B/s", "OUT/s", "OUT B/s", "DENIED/s", "DROPPED/s"];

/** @param rowsMax tenants that are shown, the busiest first */
export function topLines(before: Look, now: Look, rowsMax: number): string[] {
  const seconds = Math.max(0.001, (now.atMs - before.atMs) / 1000);
  const earlier = new Map(before.looked.map((one) => [one.id, one]));
  const rows = now.looked.map((tenant) => {
    const old = earlier.get(tenant.id);
    // A tenant that is new, or counts from 0 again, has no rate yet.
    const rate = (read: (look: TenantLook) => number) =>
      old === undefined ? 0 : Math.max(0, (read(tenant) - read(old)) / seconds);
    const rates = [
      rate(({ in: lanes }) => sum(lanes, "messages")),
      rate(({ in: lanes }) => sum(lanes, "bytes")),
      rate(({ out }) => sum(out, "messages")),
      rate(({ out }) => sum(out, "bytes")),
      rate(({ denied }) => denied),
      rate(({ dropped }) => dropped),
    ];
    return { tenant, rates };
  });
  rows.sort((a, b) =>
    b.rates[2]! + b.rates[0]! - a.rates[2]! - a.rates[0]! || b.tenant.sessions - a.tenant.sessions
  );
  const cells = rows.slice(0, Math.max(1, rowsMax)).map((
    { tenant: { id, suspended, sessions, rooms }, rates },
  ) => [
    suspended ? `${id} (suspended)` : id,
    short(sessions),
    short(rooms),
    ...rates.map(short),
  ]);
  const table = [HEAD, ...cells];
  const widths = HEAD.map((_, column) => Math.max(...table.map((row) => row[column]!.length)));
  const lines = table.map((row) =>
    row.map((cell, column) => column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)).join(
      "  ",
    )
  );
  const rest = now.tenants - cells.length;
  return [
    `${count(now.tenants, "tenant")}, ${count(now.sessions, "session")}${processText(before, now)}`,
    "",
    ...lines,
    ...(rest > 0 ? [`… and ${count(rest, "tenant")} with less to do`] : []),
  ];
}

function processText({ process: before }: Look, { process }: Look): string {
  if (process === null) return "";
  const of = (name: string) => process.get(name) ?? 0;
  const grown = (name: string) => of(name) - (before?.get(name) ?? 0);
  const ticks = grown("event_loop_lag_seconds_count");
  const lagMs = ticks > 0 ? 1000 * grown("event_loop_lag_seconds_sum") / ticks : 0;
  const parts = [
    `loop ${lagMs.toFixed(1)} ms late`,
    `memory ${short(of("process_resident_memory_bytes"))}B`,
    `waits for sockets ${short(of("outbox_bytes"))}B`,
    ...(of("draining") > 0 ? ["DRAINING"] : []),
  ];
  return `, ${parts.join(", ")}`;
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

function sum(lanes: Readonly<Record<string, Traffic>>, unit: keyof Traffic): number {
  return Object.values(lanes).reduce((all, lane) => all + lane[unit], 0);
}

const UNITS = ["", "k", "M", "G", "T"];

/** A number in at most five characters. */
function short(value: number): string {
  let unit = 0;
  while (value >= 9999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  const digits = value > 0 && value < 9.95 && !Number.isInteger(value) ? 1 : 0;
  return `${value.toFixed(digits)}${UNITS[unit]}`;
}
