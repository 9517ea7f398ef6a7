"""All attacks, by number."""

from __future__ import annotations

from pathlib import Path

from . import endings, scenarios, sessions, talking
from .reading import attacks_in

ATTACKS = sorted(
    [
        *attacks_in(Path(__file__).with_name("snippets")),
        *scenarios.ATTACKS,
        *endings.ATTACKS,
        *sessions.ATTACKS,
        *talking.ATTACKS,
    ],
    key=lambda attack: (attack.number, attack.name),
)
