"""All attacks, by number."""

from __future__ import annotations

from . import computing

ATTACKS = sorted([*computing.ATTACKS], key=lambda attack: attack.number)
