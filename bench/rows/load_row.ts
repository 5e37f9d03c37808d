// Rows that are one load on a server, and nothing beside it: most are. What a control is sent is what its own protocol
// wants; everything else is the same on both sides.

import type { Load, MessageShape, Pace, Probe, Slow } from "../generator/load_spec.ts";
import type { GatewayOptions, Lab, Server } from "../lab.ts";
import type { Measure } from "../row.ts";

/** First byte, service and opcode of a hot frame, and its flags: see the wire protocol, "Hot lane". */
const HOT_PREFIX = { echo: [1, 1, 0, 0], relay: [1, 2, 0, 0], state: [1, 3, 0, 0] } as const;
/** An answer with SENDER_PRESENT has the header and a u32 before the payload; an echo has neither. */
const ANSWER_HEADER = { echo: 0, relay: 8, state: 8 } as const;
const CHAT = '{"v":1,"svc":"chat","type":"send","room":"r%g","data":{"msg":"@"}}';
const JOIN = '{"v":1,"svc":"room","type":"join","room":"r%g"}';

/** What a side does to its server. */
export interface Shape {
  /** What messages are sent to; a control always answers as `echo` does. */
  readonly service: "echo" | "relay" | "state" | "chat";
  readonly sessions: number;
  /** Rooms; 0: none is joined. Sessions are spread over them evenly. */
  readonly rooms: number;
  /** An open loop of `perSecond` NaN goes as fast as the row's probe allows. */
  readonly pace: Pace;
  readonly sampleEvery: number;
  /** 64 where it is not given. */
  readonly payloadBytes?: number;
  /** The text that is sent instead of a chat message. */
  readonly text?: string;
  readonly tenant?: string;
  /** The last sessions read slowly; they count as members, not as receivers. */
  readonly slow?: Slow;
  readonly probe?: Probe;
  /** Whether the server's metrics are read each second; a gateway with the admin API has none on this port. */
  readonly metrics?: boolean;
  readonly warmupSeconds?: number;
  readonly baselineSessions?: number;
  readonly tickets?: string;
  readonly seconds?: { readonly atLeast: number; readonly always?: boolean };
}

/** A load on our gateway, or on a control. */
export function toLoad(shape: Shape, server: Server, options: { own?: boolean; rate?: number } = {}): Load {
  const { own = true, rate = NaN } = options;
  const { slow = null, rooms, tenant = "bench", pace } = shape;
  const groups = Math.max(1, rooms);
  const readers = rooms === 0 ? 1 : (shape.sessions - (slow?.count ?? 0)) / rooms;
  const ticket = shape.tickets === undefined ? "dev:u%d" : "";
  const fixed = shape.service !== "state" && (slow === null || slow.bytesPerSecond === 0);
  return {
    port: server.port,
    serverPid: server.pid,
    path: own ? `/v1/ws?tenant=${tenant}&ticket=${ticket}` : "/?room=r%g",
    sessions: shape.sessions,
    groups,
    tickets: shape.tickets ?? null,
    init: own && rooms > 0 ? [JOIN] : [],
    readyText: own ? (rooms > 0 ? '"type":"joined"' : '"type":"authed"') : null,
    pace: pace.kind === "open" && Number.isNaN(pace.perSecond)
      ? { ...pace, perSecond: rate / pace.publishersPerGroup / groups }
      : pace,
    message: message(shape, own),
    slow,
    probe: shape.probe ?? null,
    metricsPath: shape.metrics ? "/metrics" : null,
    fanout: fixed ? (shape.service === "relay" ? readers - 1 : readers) : null,
    sampleEvery: shape.sampleEvery,
    warmupSeconds: shape.warmupSeconds ?? (shape.sessions > 1000 ? 2 : 1),
    baselineSessions: shape.baselineSessions ?? 0,
  };
}

function message({ service, text = CHAT, payloadBytes = 64 }: Shape, own: boolean): MessageShape {
  if (!own) return { kind: "binary", prefix: [], payloadBytes, answerStampAt: 0 };
  if (service === "chat") return { kind: "text", template: text, payloadBytes };
  return {
    kind: "binary",
    prefix: HOT_PREFIX[service],
    payloadBytes,
    answerStampAt: ANSWER_HEADER[service],
  };
}

async function loaded(lab: Lab, server: Server, shape: Shape, own: boolean) {
  const { atLeast, always } = shape.seconds ?? { atLeast: 0 };
  const crowd = await lab.crowd(toLoad(shape, server, { own, rate: lab.rate }));
  return await crowd.measure(lab.seconds(atLeast, always));
}

/** A load on the gateway. */
export function onGateway(shape: Shape, options: GatewayOptions = {}): Measure {
  return async (lab) => await loaded(lab, await lab.gateway(options), shape, true);
}

/** The same load on a bare server of bench/controls. */
export function onControl(name: string, shape: Shape): Measure {
  return async (lab) => await loaded(lab, await lab.control(name), shape, false);
}
