// What a web page, or the machine, tells of itself: that the network is back, that the page is seen again, that it goes.

/** What is told. */
export interface PageHandler {
  /** The connection may be dead without a word, or could be tried again: now is a good time to look. */
  wake(): void;
  /** The page goes: into the back/forward cache (`cached`), from which it may come back (`wake`), or for good. */
  hide(cached: boolean): void;
}

/** Tells of the page until the returned function is called. */
export type Page = (handler: PageHandler) => () => void;

/** The page that this runs in; elsewhere nothing is ever told. */
export const browserPage: Page = (handler) => {
  const { document } = globalThis as { document?: EventTarget };
  const listener = ({ type, persisted }: { readonly type: string; readonly persisted?: boolean }) => {
    if (type === "pagehide") handler.hide(!!persisted);
    else handler.wake();
  };
  const each = (what: "addEventListener" | "removeEventListener") => {
    for (const type of ["online", "offline", "pageshow", "pagehide"]) {
      (globalThis as Partial<EventTarget>)[what]?.(type, listener as unknown as EventListener);
    }
    for (const type of ["visibilitychange", "resume"]) {
      document?.[what](type, listener as unknown as EventListener);
    }
  };
  each("addEventListener");
  return () => each("removeEventListener");
};
