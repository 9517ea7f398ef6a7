"""All attacks, by number."""

from __future__ import annotations

from pathlib import Path

from . import scenarios
from .reading import attacks_in

ATTACKS = sorted(
    [*attacks_in(Path(__file__).with_name("snippets")), *scenarios.ATTACKS], key=lambda attack: (attack.number, attack.name)
)
