// What a web page, or the machine, tells of itself: that the network is back, that the page is seen again, that it goes.

/** What is told. */
export interface PageHandler {
  /**
   * The connection may be dead without a word, or could be tried again: now is a good time to look.
   * @param isOnline there is a network again, maybe another one
   */
  wake(isOnline?: boolean): void;
  /** The page goes: into the back/forward cache (`cached`), from which it may come back (`wake`), or for good. */
  hide(cached: boolean): void;
}

/** Tells of the page until the returned function is called. */
export type Page = (handler: PageHandler) => () => void;

/** What there is of a page's events. */
interface PageNews {
  readonly type: string;
  readonly persisted?: boolean;
  readonly target?: { readonly hidden?: boolean };
}

/** The page that this runs in; elsewhere nothing is ever told. */
export const browserPage: Page = (handler) => {
  const listener = ({ type, persisted, target }: PageNews) => {
    if (type === "pagehide") handler.hide(!!persisted);
    // A page that is put away hides after it was told so.
    else if (!target?.hidden) handler.wake(type === "online");
  };
  const each = (what: "addEventListener" | "removeEventListener") => {
    // The last two are the document's, and bubble.
    for (const type of ["online", "offline", "pageshow", "pagehide", "visibilitychange", "resume"]) {
      (globalThis as Partial<EventTarget>)[what]?.(type, listener as unknown as EventListener);
    }
  };
  each("addEventListener");
  return () => each("removeEventListener");
};
