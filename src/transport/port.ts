// The contract between the gateway and whatever brings messages. Bytes come in, bytes go out: whoever
// implements `Transport` knows sockets and no tenants, whoever uses it knows sessions and no sockets.
// `bun.ts`, `deno.ts` and `node.ts` serve WebSockets, stream/tcp.ts plain TCP, sse/sse.ts streams of events,
// quic/webtransport.ts WebTransport, raw/raw.ts WebSockets with own framing; several run side by side in one gateway.
// tests/transport/link_contract.ts holds all of them to it.

/** What a link sends: one message, a text for a string and binary for bytes. */
export interface WireFrame {
  /** MUST NOT be empty: an empty message cannot be told from a dropped one on Bun. */
  readonly payload: string | Uint8Array;
  /** Size of the payload on the wire in bytes (UTF-8 for text), without the WebSocket header. */
  readonly bytes: number;
  /** A message of the ext lane, which may be worth deflating. */
  readonly isExt: boolean;
  /** Scratch of an adapter that writes raw server frames: header and payload, built once per frame. */
  wire: Uint8Array | null;
  /** The same of an adapter that frames as tcp_frames.ts does. */
  tcpWire: Uint8Array | null;
  /** The same of an adapter that sends datagrams. */
  datagram: Uint8Array | null;
  /** The same as an event of a stream. */
  sseWire: Uint8Array | null;
  /** As `wire`, deflated. */
  deflatedWire: Uint8Array | null;
}

/** The transports by the names that `sys.authed`, metrics and rules of a policy have for them. */
export type TransportName = "websocket" | "tcp" | "webtransport" | "sse";

/** Where frames are written: in order and without loss, or as datagrams. */
export interface FrameWay {
  /** As `Link.write`. */
  write(frames: readonly WireFrame[], count: number): number;
  /** Bytes that wait in this process, exact outside `write`. */
  bufferedBytes(): number;
}

/** A live connection, seen from the gateway. Every method MAY be called after the close and then does nothing. */
export interface Link {
  /** The peer's address without a port, IPv4-mapped IPv6 written as IPv4; empty for a unix socket. */
  readonly remoteAddress: string;
  readonly transport: TransportName;
  /** False: no ping is ever answered, and silence of the peer says nothing. */
  readonly canPing: boolean;
  /**
   * A way beside the ordered one, on which the network may lose frames, double or overtake them, and holds up none for
   * another; null where there is none. What waits there is no part of `bufferedBytes`, and `LinkHandler.onDatagramsDrain`
   * follows. MUST NOT be given frames of the control and reliable lanes.
   */
  readonly datagrams: FrameWay | null;
  /**
   * The session outlives this link, for a wire that numbers what it sends: its next message is the greeting, which is not
   * counted, and the one after it the first that is.
   * @param token by which the client comes back
   * @param count messages that it has heard of the session
   */
  resumable?(token: string, count: number): void;
  /**
   * Sends `frames[0..count)` in order, in as few system calls as the runtime allows. Takes all of them:
   * what the kernel refuses waits in this process. Keep one call's sum of bytes at 64 KiB or less.
   * @returns bytes that wait in this process after the call; when above 0, `LinkHandler.onDrain` MUST follow.
   * Within `open`, `text`, `binary` and `onDrain` it may read 0 too early on Bun, which corks there; it is exact
   * after the turn.
   */
  write(frames: readonly WireFrame[], count: number): number;
  /** Bytes that wait in this process, exact outside `write`. */
  bufferedBytes(): number;
  /** Sends a ping, or whatever keeps a connection from being taken for dead; nothing where `TransportLimits.pings` is false. */
  ping(): void;
  /** Stops reading (a flooding peer then meets TCP's own flow control) until `resume`. */
  pause(): void;
  resume(): void;
  /**
   * Starts the closing handshake after what was written. Nothing but `LinkHandler.onClose` is heard afterwards;
   * a second call does nothing. `reason` MUST be at most 123 bytes.
   */
  close(code: number, reason: string): void;
  /** Drops the socket now; what waits is lost. `LinkHandler.onClose` follows with 1006. */
  terminate(): void;
}

/**
 * The gateway's end of a link. All methods are called synchronously, in the order of the wire, and
 * MUST NOT throw. `open` comes first and exactly once, `onClose` last and exactly once.
 */
export interface LinkHandler {
  open(link: Link): void;
  text(message: string): void;
  /** The bytes MAY be kept; they can be a view of a larger read buffer. */
  binary(message: Uint8Array): void;
  pong(): void;
  /**
   * A frame that is no message came: a ping, or a fragment of a message that is not whole yet, empty or not. Not called
   * where `TransportLimits.showsControl` or `.showsFragments` is false, see there.
   * @param bytes those of its payload that no message will count
   */
  control(bytes: number): void;
  /** Everything that waited in this process has been taken by the kernel. */
  onDrain(): void;
  /** The same of `Link.datagrams`; never called where a link has none. */
  onDatagramsDrain(): void;
  /**
   * `code` is what the peer sent, 1005 for none, 1006 for an abrupt end; after our own close, our code. MAY be
   * called from within `Link.close` and `Link.terminate`.
   */
  onClose(code: number, reason: string): void;
}

/** A handshake as it arrived, before any answer: that of a WebSocket, or what another transport has made of its own. */
export interface UpgradeRequest {
  /** Path and query: "/v1/ws?tenant=acme". */
  readonly target: string;
  readonly remoteAddress: string;
  /** A header's value, the name in lower case; repeated ones joined by ", ". */
  header(name: string): string | null;
}

/** permessage-deflate (RFC 7692) for clients that offer it. */
export interface Compression {
  /** Shorter messages go as they are. */
  readonly minBytes: number;
  /** What one message may inflate to; above it the link ends with 1009. */
  readonly maxInflatedBytes: number;
}

/** Either a session's handler and the subprotocol to select, or an HTTP refusal. */
export type UpgradeAnswer =
  | {
    readonly accept: LinkHandler;
    readonly protocol: string | null;
    /** Asked of a transport that has `TransportLimits.deflates`; null or absent: nothing is deflated. */
    readonly compression?: Compression | null;
  }
  | { readonly refuse: HttpRefusal };

/** An HTTP answer: a status, headers and a body (JSON unless the headers say otherwise). */
export interface HttpRefusal {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** What the gateway brings to a transport. Should it fail all the same, the answer is a bare 500. */
export interface ServerHandler {
  /**
   * Every HTTP request that is not a WebSocket upgrade. MUST NOT throw or reject. An answer of the type text/event-stream
   * may be silent for as long as it likes.
   * @param drop drops its connection; absent where a body that errs does so, and the runtime complains to nobody
   */
  request(
    request: Request,
    remoteAddress: string,
    drop?: () => void,
  ): Response | Promise<Response>;
  /**
   * Every WebSocket upgrade, on any path. MUST NOT throw or reject. After an acceptance `open` MAY
   * never come (the peer left first); then nothing else comes either.
   */
  upgrade(request: UpgradeRequest): UpgradeAnswer | Promise<UpgradeAnswer>;
  /**
   * Told each time that connections cannot be accepted, which the transport mends by itself as soon as it can, and
   * once when they are accepted again. MUST NOT throw.
   * @param why "" when they are
   */
  accepting(works: boolean, why: string): void;
}

/** What the gateway brings to a transport whose handshake is the first message. */
export interface StreamHandler {
  /** The handler of a connection that was accepted just now; its `open` MUST follow in the same turn. MUST NOT throw. */
  connect(): LinkHandler;
  /** See `ServerHandler.accepting`. */
  accepting(works: boolean, why: string): void;
}

/** Who may read an answer, of the pages of a browser. */
export interface PageRule {
  /** Headers for the page that this request is from; none where it is from no page, null for one that may not ask. */
  headers(request: UpgradeRequest): Readonly<Record<string, string>> | null;
}

/** Either a stream's handler, or an HTTP refusal. */
export type EventsAnswer =
  | {
    readonly accept: LinkHandler;
    /** Hot frames are wanted. */
    readonly hot: boolean;
    readonly pages: PageRule;
    /** Whether a session can be come back to by its token. */
    readonly mayResume: (token: string) => boolean;
  }
  | { readonly refuse: HttpRefusal };

/** What names a message, as far as its client names it. */
export interface ReadMessage {
  readonly key: string | null;
  readonly seq: number | null;
}

/** What the gateway brings to a transport whose links are answers to plain requests, and hear by further ones (sse.ts). */
export interface EventsHandler {
  /** Who asks for a stream. MUST NOT throw or reject. */
  open(request: UpgradeRequest): EventsAnswer | Promise<EventsAnswer>;
  /** The rule for pages that ask for a stream, by its target. */
  pages(request: UpgradeRequest): PageRule;
  /** Reads a message before it is taken: its key and number, or why it is none, as the body of an answer. */
  read(message: string): ReadMessage | { readonly refuse: string };
  /** The number of the message that this one of ours refuses; null where it refuses none. */
  refusedBy(message: string): number | null;
  /** Charges a request of somebody who has no right to it. @returns milliseconds to wait, 0 for none */
  stranger(request: UpgradeRequest): number;
}

/** A certificate with its intermediates, and its private key without a passphrase; both PEM, and a pair. */
export interface TlsPair {
  readonly cert: string;
  readonly key: string;
}

export interface TransportOptions {
  readonly hostname: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** Largest inbound message in bytes, over all its fragments; larger ones are closed with 1009. */
  readonly maxMessageBytes: number;
  /** Silence after which an adapter that keeps time itself (native Deno, in whole seconds) ends a link. */
  readonly idleTimeoutMs: number;
  /** Largest head of a request in bytes, first line and headers, give or take their separators; above it: 431. */
  readonly maxHeaderBytes: number;
  /** Time for a request's head to arrive, and before it for the TLS handshake; then the connection is dropped. */
  readonly headerTimeoutMs: number;
  /** Bytes that the kernel may keep unsent for each connection, about; 0: what the system says. */
  readonly socketUnsentBytes: number;
  /** When file descriptors run out it stops listening, so that others go on; else it goes on for as long as it can. */
  readonly yields: boolean;
  /** Other processes may listen at the same address, and share its connections. */
  readonly reusePort: boolean;
  /** Null serves plain HTTP. */
  readonly tls: TlsPair | null;
}

/** What an adapter's runtime cannot do; the gateway warns at start and works around it. */
export interface TransportLimits {
  /** False: no own pings, pongs invisible, idling is watched by the runtime. */
  readonly pings: boolean;
  /** False: `terminate` on a stalled peer only starts a close. */
  readonly terminates: boolean;
  /** False: `pause` does nothing. */
  readonly pauses: boolean;
  /** False: pings and pongs are neither told nor bounded. */
  readonly showsControl: boolean;
  /** False: fragments are not told as they come; on Bun they are reckoned from the bytes that a socket has received. */
  readonly showsFragments: boolean;
  /** False: the bound of a message holds per WebSocket frame only, not over all its fragments. */
  readonly boundsFragments: boolean;
  /** False: whatever a handshake's answer says, nothing is deflated. */
  readonly deflates: boolean;
  /** False: `renewTls` throws, and a new certificate needs a restart. */
  readonly renewsTls: boolean;
  /** Options that the runtime does not take, with the value that holds instead; Infinity where nothing bounds it. */
  readonly fixed: Readonly<
    Partial<Record<"maxHeaderBytes" | "headerTimeoutMs" | "socketUnsentBytes", number>>
  >;
}

/**
 * A listener. Construction has no effects; `start` binds, `stop` ends everything.
 *
 * How to write a further one, whatever its wire looks like (the smallest is tests/transport/memory.ts):
 * - A link takes frames and hands messages to its `LinkHandler`: a text for an ext message in JSON, bytes for a hot frame
 *   or an ext message in CBOR (a CBOR map begins with 0xa0..0xbf, which no hot frame does). `open` comes first, in the turn
 *   in which the link can be written to; `onClose` last, whoever ended it.
 * - What a link can do it says itself (`transport`, `canPing`, `resumable`), as links of several transports meet in one room.
 * - A frame that goes to many is brought into the wire's form once, and that form kept on the frame, in a field of its own
 *   (`WireFrame`). What is written to one link MUST NOT be changed for the next.
 * - Handshakes are not judged here. A wire with a request of its own asks `ServerHandler.upgrade`; where the handshake is a
 *   first message, `StreamHandler.connect` gives a handler at once, and that handler reads the message; a guest on another
 *   transport's HTTP (`GuestTransport`) asks `EventsHandler.open`.
 * - Where the wire can send datagrams, the link has `datagrams`, and is given there what may be lost.
 * - What the kernel does not take waits in the process and is told (`write`, `bufferedBytes`, `onDrain`): by it the outbox
 *   knows a slow reader, and nothing else does. Bound the kernel's own buffer where the runtime lets you.
 * - What a peer announces costs nothing before it has come: lengths are checked first, memory follows what arrived, and a
 *   peer that says nothing has a deadline.
 * - `pause` must be felt by the peer, as TCP's flow control is; `terminate` must work on one that reads nothing.
 * - tests/transport/link_contract.ts holds it to all of this, through a client of its wire.
 * @typeParam D what it asks about its connections
 */
export interface Transport<D = ServerHandler> {
  readonly name: "bun" | "raw" | "deno" | "node" | "tcp" | "webtransport" | "sse";
  /** What is known before `start`, and after it what turned out. */
  readonly limits: TransportLimits;
  /** @throws when the address cannot be bound: one line that names the address and the cause. */
  start(door: D): Promise<{ readonly hostname: string; readonly port: number }>;
  /**
   * New connections get this certificate from now on; links and requests under way live on with theirs. MUST NOT be
   * called before `start`, nor where `TransportOptions.tls` was null. The pair MUST be one that was checked: not every
   * runtime refuses a bad one.
   * @throws when the runtime takes no other certificate, or not this one; then everything is as it was.
   */
  renewTls(tls: TlsPair): void;
  /**
   * Another `TransportOptions.maxMessageBytes`, for links that are open too. MAY be called before `start`; a message of
   * which a part has been read MAY still be judged by the former number.
   */
  boundMessages(maxBytes: number): void;
  /**
   * Runs `task` once, after the sockets that are readable now were read. Not a microtask: the
   * flush that it serves must gather a whole turn's messages. MUST NOT starve reading.
   */
  afterTurn(task: () => void): void;
  /** Stops listening, terminates every link still open, and resolves when all is released. */
  stop(): Promise<void>;
}

/**
 * A transport without a listener of its own: its links live on plain HTTP requests, which the `ServerHandler` of another transport
 * hands on to it.
 */
export interface GuestTransport {
  readonly name: "sse";
  readonly limits: TransportLimits;
  /** To be called before anything else. */
  start(door: EventsHandler): void;
  /** Whether requests of this path are its own. */
  serves(path: string): boolean;
  /** Answers one of them; see `ServerHandler.request`. Never rejects. */
  request(
    request: Request,
    remoteAddress: string,
    drop?: () => void,
  ): Response | Promise<Response>;
  /** See `Transport.boundMessages`. */
  boundMessages(maxBytes: number): void;
  /** Terminates every link still open. */
  stop(): Promise<void>;
}
