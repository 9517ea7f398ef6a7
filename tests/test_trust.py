"""docs/trust.md names tests; each of them exists."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "trust.md"


def test_every_test_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE.read_text(encoding="utf-8")))
    files = TESTS.rglob("test_*.py")
    defined = {name for file in files for name in re.findall(r"^def (test_\w+)", file.read_text("utf-8"), re.M)}
    assert named
    assert named <= defined, named - defined


def test_every_report_has_a_line_with_a_test_or_a_reason() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    reports = [row for row in rows if not row.startswith("| report")]
    assert len(reports) == 32
    for report in reports:
        assert "`test_" in report or "does not apply" in report, report
