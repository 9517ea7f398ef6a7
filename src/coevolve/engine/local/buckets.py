"""Sizes of decoding steps, so few of them that each can be recorded once. No torch here."""

from __future__ import annotations

BLOCK = 256  # positions; lengths of windows are multiples of it, so that few different steps exist


def row_bucket(rows: int) -> int:
    """The number of rows that a step for ``rows`` of them computes: powers of two, from 32 on also three quarters."""
    power = 1 << max(rows - 1, 0).bit_length()
    return power * 3 // 4 if power >= 32 and rows <= power * 3 // 4 else power


def length_bucket(length: int) -> int:
    """The positions that a step over ``length`` of them reads."""
    return -(-length // BLOCK) * BLOCK
