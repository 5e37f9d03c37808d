// The configuration that `wsprism init` writes: one text for all uses, with the parts that a use decides put in.

/** What a configuration can be for. */
export const USES = ["game", "chat", "trading"] as const;
/** One of `USES`. */
export type Use = typeof USES[number];

/** What was asked of whoever starts. */
export interface Wishes {
  readonly use: Use;
  readonly tenant: string;
  /** `host:port` of the public listener. */
  readonly listen: string;
  /** Pages that may connect; none for those of the same host. */
  readonly origins: readonly string[];
}

/** Names of the files, all in one folder. */
export const FILES = { config: "wsprism.yaml", env: "wsprism.env", schema: "wsprism.schema.json" } as const;

/** Where the admin API listens in every configuration that is written here. */
export const ADMIN_LISTEN = "127.0.0.1:9090";

/** What differs between the uses, each part indented as it stands in the file. */
interface UseText {
  readonly title: string;
  readonly pings: string;
  readonly limits: string;
  /** What is kept for those who come back. */
  readonly recovery: string;
  readonly policy: string;
  readonly services: string;
}

const TEXTS: Readonly<Record<Use, UseText>> = {
  game: {
    title: "a multiplayer game: matches with fast binary messages, and a chat beside them",
    pings: `  # Players notice a dead connection within seconds.
  ping_interval_ms: 5000
  idle_timeout_ms: 15000`,
    limits: `      max_frame_bytes: 1024 # inputs and positions are small
      max_users_per_room: 64 # players in a match
      max_rooms_per_user: 2 # the lobby and one match`,
    recovery: `    # Who loses the connection stays in the match for so long, and misses no text message.
    resume: { window_ms: 15000 }`,
    policy: `      # 60 inputs and 30 positions a second, and a burst after a stall.
      quotas:
        session: { messages_per_second: 120, burst: 240 }
      # Whoever logs in on another machine takes over.
      sessions: { mode: single, max_sessions_per_user: 1, on_exceed: kick_oldest }
      # Text messages, as service:type.
      ext_allowlist: ["room:join", "room:leave", "room:members", "chat:send"]
      # Binary messages, as service:opcode. They go to the room that was joined last.
      hot_allowlist:
        - "1:*" # shots and other events
        - "2:*" # positions
      rules:
        # Nobody fills the chat alone: the third message too many in a minute mutes for 30 s.
        - id: chat-pace
          match: { service: "chat:send" }
          rate: { per: user, messages_per_second: 1, burst: 5 }
          require: [member]
          then: [reject, reject, { mute_ms: 30000 }]`,
    services: `    services:
      - { svc: chat, builtin: chat }
    hot_services:
      - { id: 1, kind: relay } # to all others in the room
      - { id: 2, kind: state, tick_ms: 33 } # the latest of each player, 30 times a second`,
  },
  chat: {
    title: "a chat: people in rooms, on a phone and a few browser tabs each",
    pings: `  # Load balancers often close what is silent for a minute.
  ping_interval_ms: 25000
  idle_timeout_ms: 75000`,
    limits: `      max_frame_bytes: 16384
      max_users_per_room: 1000
      max_rooms_per_user: 100`,
    recovery: `    # A lost connection ends nothing for two minutes: what was said meanwhile follows.
    resume: { window_ms: 120000 }
    # Whoever comes later reads the newest messages of the last day. With "store: disk" and gateway.state_dir they
    # survive a restart.
    rooms:
      - match: "*"
        history: { max_messages: 100, max_age_ms: 86400000 }
        presence: true`,
    policy: `      # People type slowly; what pastes or loops has to wait.
      quotas:
        session: { messages_per_second: 20, burst: 100 }
      # Eight devices and tabs; a ninth ends the oldest.
      sessions: { mode: multi, max_sessions_per_user: 8, on_exceed: kick_oldest }
      # Text messages, as service:type.
      ext_allowlist: ["room:join", "room:leave", "room:members", "room:history", "chat:send"]
      rules:
        # Only members write into a room, and each refusal in a row weighs more.
        - id: chat-flood
          match: { service: "chat:send" }
          rate: { per: user, messages_per_second: 1, burst: 6 }
          require: [member]
          then: [reject, reject, { mute_ms: 5000 }, { mute_ms: 60000 }]
        # A ticket with the claim role=staff may write to announcements.
        - id: announcements
          match: { service: "chat:send", room: "announce:*" }
          require: ["claim:role=staff"]`,
    services: `    services:
      - { svc: chat, builtin: chat }
    hot_services: [] # chat is text: the binary lane is closed`,
  },
  trading: {
    title: "dashboards: feeds send quotes, every screen shows the latest of each",
    pings: `  ping_interval_ms: 10000
  idle_timeout_ms: 30000`,
    limits: `      max_frame_bytes: 4096
      max_rooms_per_user: 50 # a room for each board of instruments`,
    recovery: `    # A screen that loses its connection goes on where it was; notes of these seconds follow.
    resume: { window_ms: 30000 }`,
    policy: `      # A feed sends thousands of quotes a second; screens hardly send at all.
      quotas:
        session: { messages_per_second: 5000, burst: 10000 }
      sessions: { mode: multi, max_sessions_per_user: 12, on_exceed: deny }
      # Text messages, as service:type.
      ext_allowlist: ["room:join", "room:leave", "notes:send"]
      # Binary messages, as service:opcode. They go to the room that was joined last.
      hot_allowlist:
        - "10:*" # the opcode is the instrument: its latest quote is kept
        - "11:1" # a fill: every one counts
      rules:
        # Prices come from feeds, whose tickets have the claim role=feed.
        - id: quotes
          match: { lane: hot, service: "10:*" }
          require: ["claim:role=feed"]
          then: [reject, { close: 4507 }]
        - id: fills
          match: { lane: hot, service: "11:1" }
          require: ["claim:role=execution"]
          max_bytes: 128
          then: [{ close: 4507 }]
        - id: note-pace
          match: { service: "notes:send" }
          rate: { per: user, messages_per_second: 1, burst: 3 }
          require: [member]`,
    services: `    services:
      - { svc: notes, builtin: chat }
    hot_services:
      - { id: 10, kind: state, tick_ms: 100 } # the latest quotes, ten times a second
      - { id: 11, kind: relay } # to all others in the room`,
  },
};

/** The configuration, as YAML. */
export function configText({ use, tenant, listen, origins }: Wishes): string {
  const { title, pings, limits, recovery, policy, services } = TEXTS[use];
  const pages = origins.length === 0
    ? `    # Web pages that may connect; without this line, those of the host that is connected to.
    # origins: ["https://app.example"]`
    : `    origins: ${JSON.stringify(origins)} # web pages that may connect`;
  return `# yaml-language-server: $schema=./${FILES.schema}
# wsPrism for ${title}.
# What is not written here has its default. The secrets are in ${FILES.env}.

version: 1

gateway:
  # Only this machine: a proxy before it ends TLS. "0.0.0.0:8080" is every address.
  listen: ${JSON.stringify(listen)}
${pings}
  # Behind a proxy, name its addresses, or every client seems to come from one:
  # trusted_proxies: ["127.0.0.1/32"]
  # client_ip_header: x-forwarded-for
  # Time that clients get to move elsewhere when the gateway is told to stop.
  drain_grace_ms: 5000

# The HTTP API for operators and backends; it serves the metrics too. Keep it off the internet.
admin:
  listen: "${ADMIN_LISTEN}"
  console: true # http://${ADMIN_LISTEN}/console: a page that shows what goes on, for who has a key
  keys:
    - id: operator
      secret: "\${WSPRISM_ADMIN_KEY}"
      tenants: [${JSON.stringify(tenant)}]
      permissions: [read, publish, disconnect, reload]
    - id: metrics # for Prometheus, which reads the numbers of all tenants
      secret: "\${WSPRISM_METRICS_KEY}"
      tenants: ["*"]
      permissions: [read]

tenants:
  - id: ${JSON.stringify(tenant)}
    # Your backend signs a ticket (JWT) for each user, with the same secret; "wsprism token" signs one by hand.
    auth:
      mode: jwt
      jwt:
        algorithms: [HS256]
        keys:
          - { kid: "1", secret: "\${WSPRISM_TICKET_SECRET}" }
${pages}
    limits:
      max_sessions_total: 10000
      max_rooms_total: 2000
      max_sessions_per_ip: 200
${limits}
${recovery}
    # What is not listed is refused; "wsprism explain" tells which line refuses a message.
    policy:
${policy}
${services}
`;
}

/** The file of variables: what a shell, systemd and `--env-file` read alike. */
export function envText(secret: () => string): string {
  return `# Secrets of ${FILES.config}. Keep this file out of version control, and readable by its owner only.
# Signs tickets; your backend needs it too.
WSPRISM_TICKET_SECRET=${secret()}
# The admin API's key: Authorization: Bearer <key>. "wsprism webhooks" takes it from this variable.
WSPRISM_ADMIN_KEY=${secret()}
# The key that metrics are read with.
WSPRISM_METRICS_KEY=${secret()}
`;
}
