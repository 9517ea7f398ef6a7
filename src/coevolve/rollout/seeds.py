"""Seeds that depend on where they are used and on nothing that happened before: no generator state to save."""

from __future__ import annotations

import hashlib


def seed_of(*parts: int | str) -> int:
    """A 63-bit seed from a path of names and numbers, e.g. (run seed, iteration, phase, step)."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
