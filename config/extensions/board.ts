// The rules of the match service's game: three in a row, on nine cells numbered from 0.

export type Mark = "x" | "o";

/** Nine characters: a mark, or "." for a free cell. */
export type Board = string;

export const EMPTY: Board = ".........";

const ROWS = [[0, 1, 2], [3, 4, 5], [6, 7, 8], [0, 3, 6], [1, 4, 7], [2, 5, 8], [0, 4, 8], [2, 4, 6]];

export function isFree(board: Board, cell: unknown): cell is number {
  return Number.isInteger(cell) && board[cell as number] === ".";
}

export function withMark(board: Board, cell: number, mark: Mark): Board {
  return board.slice(0, cell) + mark + board.slice(cell + 1);
}

export function hasWon(board: Board, mark: Mark): boolean {
  return ROWS.some((row) => row.every((cell) => board[cell] === mark));
}

export function isFull(board: Board): boolean {
  return !board.includes(".");
}
