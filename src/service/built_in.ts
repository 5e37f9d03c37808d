// The services that the gateway brings along, made from what a tenant's configuration names.

import { LANE } from "../protocol/frame.ts";
import type { Rooms } from "../room/rooms.ts";
import { ChatService } from "./chat.ts";
import { EchoService } from "./echo.ts";
import { RelayService } from "./relay.ts";
import { RoomService } from "./room.ts";
import type { Every, ExtService, HotService } from "./service.ts";
import { StateService } from "./state.ts";

/** A hot service as the configuration has it. */
export type HotSpec =
  | { readonly id: number; readonly kind: "echo" | "relay"; readonly lane: "lossy" | "latest" }
  | { readonly id: number; readonly kind: "state"; readonly tick_ms: number };

/** An ext service as the configuration has it. */
export interface ExtSpec {
  readonly svc: string;
  /** Absent where it is not one of ours. */
  readonly builtin?: "chat" | undefined;
}

/** `room`, and `chat` under each of its names. */
export function builtInExt(specs: readonly ExtSpec[], rooms: Rooms): Map<string, ExtService> {
  const services = new Map<string, ExtService>([["room", new RoomService()]]);
  for (const { svc, builtin } of specs) {
    if (builtin === "chat") services.set(svc, new ChatService(svc, rooms));
  }
  return services;
}

/** A hot service of the tenant whose rooms these are. */
export function builtInHot(spec: HotSpec, rooms: Rooms, every: Every): HotService {
  switch (spec.kind) {
    case "echo":
      return new EchoService(LANE[spec.lane], rooms);
    case "relay":
      return new RelayService(LANE[spec.lane], rooms);
    case "state":
      return new StateService(rooms, spec.tick_ms, every);
  }
}
