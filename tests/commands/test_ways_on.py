"""What an interrupted command says about going on."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from coevolve.commands import faults


@pytest.mark.parametrize("way", ["coevolve eval x --suite y", None])
def test_an_interrupted_command_says_how_to_go_on(way: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "_ways_on", [])
    monkeypatch.setattr(faults, "_current", {})
    app = typer.Typer(cls=faults.FaultReporting)

    @app.command()
    def measure() -> None:
        if way:
            faults.goes_on_with(way)
        raise KeyboardInterrupt

    app.command()(lambda: None)
    ended = CliRunner().invoke(app, ["measure"])
    assert ended.exit_code == 130
    said = "interrupted" if way is None else f"interrupted; what was finished is kept\n  resume with: {way}"
    assert ended.stderr.strip() == said
