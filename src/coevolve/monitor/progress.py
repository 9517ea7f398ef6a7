"""What a person sees while a run goes on: live on a terminal, complete lines in a pipe, or nothing.

The driver speaks, these classes show. Every finished phase leaves one line; the bar below it is redrawn in
place, every second by a thread of its own while nothing happens, and disappears.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import IO, Protocol

from rich.console import Console
from rich.live import Live
from rich.text import Text

from coevolve.monitor.forecast import Clock, Forecast, Stage

REDRAW_S = 0.1
BAR_CELLS = 8
TICKS_PER_S = 1  # of the live line, whatever the run is busy with
DONE, LEFT = "━", "╌"
HEARTBEAT_S = 30.0
_NONE = Stage(0, "")  # before the first phase


class Progress(Protocol):
    """Told by the driver what happens; phases come in the order given to ``start``."""

    def start(self, title: str, stages: Sequence[Stage]) -> None:
        """All phases to come."""

    def phase(self, stage: Stage) -> None:
        """One of them begins."""

    def step(self, done: int, facts: Mapping[str, object]) -> None:
        """``done`` of its steps are finished; ``facts`` are shown, for example ``{"reward": 0.61}``."""

    def end_phase(self, line: str) -> None:
        """It is finished; ``line`` is what stays on the screen."""

    def note(self, text: str) -> None:
        """Something the user should know that belongs to no phase."""

    def close(self) -> None:
        """Leave the terminal as it was. Safe to call twice."""


class SilentProgress:
    """Shows nothing (``--quiet``, ``--json``)."""

    def start(self, title: str, stages: Sequence[Stage]) -> None: ...

    def phase(self, stage: Stage) -> None: ...

    def step(self, done: int, facts: Mapping[str, object]) -> None: ...

    def end_phase(self, line: str) -> None: ...

    def note(self, text: str) -> None: ...

    def close(self) -> None: ...


class PlainProgress:
    """Complete lines, for pipes and logs: one per phase, and a sign of life in phases that take long."""

    def __init__(self, stream: IO[str], clock: Clock = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._headings = _Headings()
        self._forecast = Forecast((), clock)
        self._stage = _NONE
        self._spoke = clock()

    def start(self, title: str, stages: Sequence[Stage]) -> None:
        self._headings = _Headings(stages)
        self._forecast = Forecast(stages, self._clock)
        self._say(title)

    def phase(self, stage: Stage) -> None:
        self._stage = stage
        self._forecast.begin(stage.key)
        heading = self._headings.before(stage.iteration)
        if heading:
            self._say(heading)

    def step(self, done: int, facts: Mapping[str, object]) -> None:
        self._forecast.advance(done)
        if self._clock() - self._spoke >= HEARTBEAT_S:
            left = time_left(self._forecast.remaining_s())
            self._say("  ".join(part for part in (_label(self._stage, done), facts_text(facts), left) if part))

    def end_phase(self, line: str) -> None:
        self._say(f"   {self._stage.title:<12} {line}  ({duration(self._forecast.phase_s)})")

    def note(self, text: str) -> None:
        self._say(f" note: {text}")

    def close(self) -> None:
        self._stream.flush()

    def _say(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()
        self._spoke = self._clock()


class LiveProgress:
    """One line that is redrawn in place below the lines that stay."""

    def __init__(self, console: Console, clock: Clock = time.monotonic) -> None:
        self._console, self._clock = console, clock
        self._headings = _Headings()
        self._forecast = Forecast((), clock)
        self._stage, self._done = _NONE, 0
        self._facts: Mapping[str, object] = {}
        self._drawn = 0.0
        self._began = clock()
        self._between = True  # no phase is in progress
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=TICKS_PER_S, transient=True)

    def start(self, title: str, stages: Sequence[Stage]) -> None:
        self._headings = _Headings(stages)
        self._forecast = Forecast(stages, self._clock)
        self._keep(Text(title, style="bold"))
        self._live.start(refresh=True)

    def phase(self, stage: Stage) -> None:
        self._stage, self._done, self._facts, self._between = stage, 0, {}, False
        self._forecast.begin(stage.key)
        heading = self._headings.before(stage.iteration)
        if heading:
            self._keep(Text(heading, style="bold"))
        self._draw()

    def step(self, done: int, facts: Mapping[str, object]) -> None:
        self._forecast.advance(done)
        self._done, self._facts = done, facts
        if self._clock() - self._drawn >= REDRAW_S:
            self._draw()

    def end_phase(self, line: str) -> None:
        self._began = self._clock()
        kept = Text(f"   {self._stage.title:<12} ", style="cyan")
        kept.append(line, style="default")
        kept.append(f"  ({duration(self._forecast.phase_s)})", style="dim")
        self._between = True
        self._keep(kept)

    def note(self, text: str) -> None:
        self._keep(Text(f" note: {text}", style="yellow"))

    def close(self) -> None:
        self._live.stop()

    def _keep(self, line: Text) -> None:
        self._console.print(line, highlight=False, soft_wrap=True)

    def _draw(self) -> None:
        self._live.refresh()
        self._drawn = self._clock()

    def _render(self) -> Text:
        """The line as it is at this moment; facts for which there is no room are left out, none is cut."""
        if self._between:
            what = "starting workers" if self._stage is _NONE else "saving"
            return Text(f"   {what}  {duration(self._clock() - self._began)}", style="dim", no_wrap=True)
        filled = BAR_CELLS * min(self._done, self._stage.steps) // max(self._stage.steps, 1)
        line = Text(_label(self._stage, self._done), style="cyan", no_wrap=True, overflow="ellipsis")
        line.append("  " + DONE * filled).append(LEFT * (BAR_CELLS - filled), style="dim")
        left = time_left(self._forecast.remaining_s())
        for part in (duration(self._forecast.phase_s), left and f"· {left}"):
            if part and line.cell_len + len(part) + 2 < self._console.width:
                line.append(f"  {part}", style="dim")
        for name, value in self._facts.items():
            fact = facts_text({name: value})
            if line.cell_len + len(fact) + 2 < self._console.width:
                line.append(f"  {fact}" if fact else "", style="default")
        return line


class _Headings:
    """The heading of each iteration, once."""

    def __init__(self, stages: Sequence[Stage] = ()) -> None:
        self._last = max((stage.iteration for stage in stages), default=0)
        self._shown: int | None = None

    def before(self, iteration: int) -> str | None:
        """The line to show before a phase of this iteration; None when it stands there already."""
        if iteration == self._shown or iteration < 0:
            return None
        self._shown = iteration
        return f" iteration {iteration}/{self._last}" if iteration else " base model"


def progress_for(console: Console, *, quiet: bool) -> Progress:
    """Live on a terminal, plain elsewhere, silent on request."""
    if quiet:
        return SilentProgress()
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveProgress(console)
    return PlainProgress(console.file)


def facts_text(facts: Mapping[str, object]) -> str:
    """``reward 0.61  tok/s 14,100``: two decimals for small numbers, none for large ones."""
    return "  ".join(f"{name} {_number(value)}" for name, value in facts.items() if value is not None)


def duration(seconds: float) -> str:
    """``38 s``, ``3 min 48 s``, ``1 h 02 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def time_left(seconds: float | None) -> str:
    """A remaining time no more exact than it deserves; empty when it is unknown."""
    if seconds is None:
        return ""
    if seconds < 90:
        return f"about {max(round(seconds, -1), 5):.0f} s left"
    minutes = round(seconds / 60)
    return f"about {minutes} min left" if minutes < 90 else f"about {seconds / 3600:.1f} h left"


def _number(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}" if abs(value) < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _label(stage: Stage, done: int) -> str:
    return f"   {stage.title:<12} {stage.unit} {done:,}/{stage.steps:,}"
