// Exit codes of every verb.

export const EXIT = { done: 0, failed: 1, usage: 2, config: 3, denied: 4 } as const;

/** How a verb hands its exit code back. */
export type Done = (code: number) => void;
