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

type Listen = (type: string, run: (event: { readonly persisted?: boolean }) => void) => void;
interface Target {
  readonly addEventListener?: Listen;
  readonly removeEventListener?: Listen;
}

/** The page that this runs in; elsewhere nothing is ever told. */
export const browserPage: Page = (handler) => {
  const window = globalThis as unknown as Target;
  const document = (globalThis as { document?: Target & { visibilityState?: string } }).document;
  const wake = () => {
    if (document?.visibilityState !== "hidden") handler.wake();
  };
  const hide = (event: { readonly persisted?: boolean }) => handler.hide(event.persisted === true);
  const pairs: [Target | undefined, string, (event: { readonly persisted?: boolean }) => void][] = [
    // Network news counts in a hidden tab as well.
    [window, "online", () => handler.wake()],
    [window, "offline", () => handler.wake()],
    [window, "pageshow", wake],
    [window, "pagehide", hide],
    [document, "visibilitychange", wake],
    [document, "resume", wake],
  ];
  for (const [target, type, run] of pairs) target?.addEventListener?.(type, run);
  return () => {
    for (const [target, type, run] of pairs) target?.removeEventListener?.(type, run);
  };
};
