// The part of Bun that the bench names, declared here because `bun-types` is not a dependency: the control
// servers need `Bun.serve`, the load generator `Bun.connect`. https://bun.sh/docs/api/websockets and …/tcp

/** A server-side WebSocket of `Bun.serve`. */
interface BunServerSocket<Data> {
  readonly data: Data;
  send(message: string | Uint8Array): number;
  subscribe(topic: string): void;
}

/** What `Bun.serve` returns. */
interface BunServer<Data> {
  readonly port: number;
  upgrade(request: Request, options: { data: Data }): boolean;
  publish(topic: string, message: string | Uint8Array): number;
}

/** Options of `Bun.serve` with WebSockets. */
interface BunServeOptions<Data> {
  hostname: string;
  port: number;
  fetch(request: Request, server: BunServer<Data>): Response | Promise<Response> | undefined;
  websocket: {
    idleTimeout?: number;
    perMessageDeflate?: boolean;
    open?(socket: BunServerSocket<Data>): void;
    message(socket: BunServerSocket<Data>, message: string | Uint8Array): void;
  };
}

/** A raw TCP socket of `Bun.connect`. */
interface BunTcpSocket<Data> {
  data: Data;
  /** Returns the bytes taken; the rest is the caller's, to be sent after `drain`. */
  write(bytes: Uint8Array, offset?: number, length?: number): number;
  end(): void;
}

/** Options of `Bun.connect`. */
interface BunConnectOptions<Data> {
  hostname: string;
  port: number;
  data: Data;
  socket: {
    open?(socket: BunTcpSocket<Data>): void;
    data(socket: BunTcpSocket<Data>, bytes: Uint8Array): void;
    drain?(socket: BunTcpSocket<Data>): void;
    close?(socket: BunTcpSocket<Data>): void;
    error?(socket: BunTcpSocket<Data>, error: Error): void;
    connectError?(socket: BunTcpSocket<Data>, error: Error): void;
  };
}

/** Options of `Bun.listen`. */
interface BunListenOptions<Data> {
  hostname: string;
  port: number;
  socket: {
    open?(socket: BunTcpSocket<Data>): void;
    data(socket: BunTcpSocket<Data>, bytes: Uint8Array): void;
    close?(socket: BunTcpSocket<Data>): void;
  };
}

declare const Bun: {
  listen<Data>(options: BunListenOptions<Data>): { readonly port: number };
  serve<Data>(options: BunServeOptions<Data>): BunServer<Data>;
  which(program: string, options: { cwd: string }): string | null;
  connect<Data>(options: BunConnectOptions<Data>): Promise<BunTcpSocket<Data>>;
};
