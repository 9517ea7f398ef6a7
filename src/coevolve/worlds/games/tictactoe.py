"""Tic-tac-toe. A cell that is free shows its number, so that a legal move is a number on the board."""

from __future__ import annotations

from dataclasses import dataclass, replace

MARKS = "xo"
LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))


@dataclass(frozen=True, slots=True)
class TicTacToePosition:
    """Implements :class:`coevolve.worlds.play.Position`.

    Args:
        board: nine characters, row by row: x, o, or the number of a free cell from 1.
    """

    board: str = "123456789"

    @property
    def winner(self) -> int | None:
        """The seat that has three in a row; None where neither has."""
        for a, b, c in LINES:
            if self.board[a] == self.board[b] == self.board[c]:
                return MARKS.index(self.board[a])
        return None

    @property
    def free(self) -> tuple[str, ...]:
        """Numbers of the free cells."""
        return tuple(cell for cell in self.board if cell not in MARKS)

    @property
    def seat(self) -> int | None:
        """x begins."""
        free = self.free
        return None if not free or self.winner is not None else (9 - len(free)) % 2

    @property
    def moves(self) -> tuple[str, ...]:
        """Free cells while nobody has won."""
        return () if self.seat is None else self.free

    @property
    def view(self) -> str:
        """The own mark and the board."""
        return f"tictactoe {MARKS[self.seat or 0]} {self.board}"

    @property
    def payoffs(self) -> tuple[float, float]:
        """1 for three in a row, 0 for a draw."""
        if self.winner is None:
            return 0.0, 0.0
        return (1.0, -1.0) if self.winner == 0 else (-1.0, 1.0)

    def after(self, move: str) -> TicTacToePosition:
        """The board with one more mark."""
        if self.seat is None or move not in self.moves:
            raise ValueError(f"{move!r} is no legal move on {self.board}")
        return replace(self, board=self.board.replace(move, MARKS[self.seat]))


@dataclass(frozen=True, slots=True)
class TicTacToe:
    """Implements :class:`coevolve.worlds.play.Rules`."""

    name: str = "tictactoe"

    def deal(self, seed: int) -> TicTacToePosition:
        """The empty board."""
        return TicTacToePosition()
