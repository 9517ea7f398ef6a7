"""Progress: lines that stay, the forecast, and the three ways to show it."""

import io
from collections.abc import Sequence

import pytest
from rich.console import Console

from coevolve.monitor.forecast import Forecast, Stage
from coevolve.monitor.progress import (
    HEARTBEAT_S,
    LiveProgress,
    PlainProgress,
    Progress,
    SilentProgress,
    duration,
    facts_text,
    progress_for,
    time_left,
)

BASE = Stage(0, "evaluate", 1, "held-out")
STAGES = [
    BASE,
    *(
        Stage(t, name, steps, name, share)
        for t in (1, 2)
        for name, steps, share in (("curriculum", 4, 3.0), ("executor", 2, 2.0))
    ),
]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_without_a_finished_step_nothing_is_forecast() -> None:
    forecast = Forecast(STAGES, Clock())
    assert forecast.remaining_s() is None
    forecast.begin((0, "evaluate"))
    assert forecast.remaining_s() is None


def test_phases_of_a_timed_kind_are_forecast_from_their_seconds_per_step() -> None:
    clock = Clock()
    forecast = Forecast([Stage(1, "a", 4), Stage(2, "a", 10)], clock)
    forecast.begin((1, "a"))
    clock.now = 6.0
    forecast.advance(2)
    assert forecast.remaining_s() == pytest.approx(3 * (2 + 10))
    clock.now = 7.0  # waiting inside a step counts
    assert forecast.remaining_s() == pytest.approx(35)


def test_kinds_not_timed_yet_are_forecast_from_their_typical_share() -> None:
    clock = Clock()
    forecast = Forecast([BASE, Stage(1, "curriculum", 8, share=3.0)], clock)
    forecast.begin((0, "evaluate"))
    clock.now = 10.0
    forecast.advance(1)
    assert forecast.remaining_s() == pytest.approx(30)  # three times an evaluation


def test_a_resumed_run_forecasts_only_what_is_left() -> None:
    clock = Clock()
    forecast = Forecast(STAGES, clock)
    forecast.begin((2, "executor"))
    clock.now = 5.0
    forecast.advance(1)
    assert forecast.remaining_s() == pytest.approx(5)


def test_a_phase_that_was_not_announced_is_a_fault() -> None:
    with pytest.raises(KeyError):
        Forecast(STAGES, Clock()).begin((9, "evaluate"))


def play(progress: Progress, stages: Sequence[Stage] = STAGES) -> None:
    progress.start("coevolve run agent0", stages)
    for stage in stages:
        progress.phase(stage)
        for done in range(1, stage.steps + 1):
            progress.step(done, {"reward": 0.5})
        progress.end_phase(f"reward 0.50 of {stage.iteration}")
    progress.note("two tasks were lost")
    progress.close()


def test_plain_output_is_complete_lines_without_cursor_control() -> None:
    stream = io.StringIO()
    play(PlainProgress(stream, Clock()))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "coevolve run agent0"
    assert lines[1] == " base model"
    assert lines[2].split() == ["held-out", "reward", "0.50", "of", "0", "(0", "s)"]
    assert lines.count(" iteration 1/2") == lines.count(" iteration 2/2") == 1
    assert lines[-1] == " note: two tasks were lost"
    assert "\x1b" not in stream.getvalue()
    assert "\r" not in stream.getvalue()


def test_plain_output_shows_a_sign_of_life_in_a_long_phase() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = PlainProgress(stream, clock)
    stage = Stage(1, "curriculum", 10)
    progress.start("run", [stage])
    progress.phase(stage)
    clock.now = HEARTBEAT_S / 2
    progress.step(1, {"reward": 0.25})
    assert "step" not in stream.getvalue()
    clock.now = HEARTBEAT_S
    progress.step(2, {"reward": 0.25})
    assert "step 2/10  reward 0.25  about 2 min left" in stream.getvalue()


def test_stages_of_no_iteration_have_no_heading_and_steps_of_their_own_name() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = PlainProgress(stream, clock)
    stages = [Stage(-1, name, count, name, share=count, unit="answer") for name, count in (("a", 3000), ("b", 1000))]
    progress.start("coevolve eval x", stages)
    progress.phase(stages[0])
    clock.now = 60.0
    progress.step(1500, {})
    progress.end_phase("done")
    assert stream.getvalue().splitlines() == [
        "coevolve eval x",
        "   a            answer 1,500/3,000  about 2 min left",  # 60 s for the rest of it, and 40 s for the other
        "   a            done  (1 min 00 s)",
    ]


def test_live_output_keeps_the_same_lines_and_gives_the_cursor_back() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=100, color_system=None)
    play(LiveProgress(console))
    text = stream.getvalue()
    for line in (
        "coevolve run agent0",
        " base model",
        " iteration 2/2",
        "reward 0.50 of 2",
        "two tasks were lost",
    ):
        assert line in text
    assert "step 0/4" in text
    assert text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l")  # cursor shown again after it was hidden


def test_closing_twice_or_without_a_start_is_harmless() -> None:
    for progress in (
        LiveProgress(Console(file=io.StringIO(), force_terminal=True)),
        PlainProgress(io.StringIO()),
        SilentProgress(),
    ):
        progress.close()
        progress.close()


def test_silent_output_is_empty(capfd: pytest.CaptureFixture[str]) -> None:
    play(SilentProgress())
    assert capfd.readouterr() == ("", "")


def test_the_way_to_show_fits_where_the_output_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    pipe, terminal = Console(file=io.StringIO()), Console(file=io.StringIO(), force_terminal=True)
    assert isinstance(progress_for(pipe, quiet=False), PlainProgress)
    assert isinstance(progress_for(terminal, quiet=False), LiveProgress)
    assert isinstance(progress_for(terminal, quiet=True), SilentProgress)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(progress_for(terminal, quiet=False), PlainProgress)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (38.2, "38 s"), (59.7, "1 min 00 s"), (228, "3 min 48 s"), (3725, "1 h 02 min")],
)
def test_durations_read_like_speech(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (1.0, "about 5 s left"),
        (42.0, "about 40 s left"),
        (200.0, "about 3 min left"),
        (7200.0, "about 2.0 h left"),
    ],
)
def test_remaining_times_are_no_more_exact_than_they_deserve(seconds: float | None, text: str) -> None:
    assert time_left(seconds) == text


def test_facts_are_short() -> None:
    facts = {"reward": 0.6123, "tok/s": 14100.4, "calls": 1234, "kl": None, "stop": "eos"}
    assert facts_text(facts) == "reward 0.61  tok/s 14,100  calls 1,234  stop eos"


def shown_line(width: int, done: int, facts: dict[str, object]) -> str:
    console = Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)
    clock = Clock()
    progress = LiveProgress(console, clock)
    progress.start("run", [Stage(1, "curriculum", 10, "curriculum")])
    progress.phase(Stage(1, "curriculum", 10, "curriculum"))
    clock.now = 60.0
    progress.step(done, facts)
    progress.close()
    with console.capture() as capture:
        console.print(progress._render())
    return capture.get().rstrip("\n")


def test_the_live_line_marks_done_and_left_with_different_glyphs() -> None:
    assert "━━━━╌╌╌╌" in shown_line(100, 5, {})


@pytest.mark.parametrize("width", [60, 80, 240])
def test_the_live_line_leaves_out_what_has_no_room_and_cuts_nothing(width: int) -> None:
    facts: dict[str, object] = {f"quantity {n}": 0.25 for n in range(8)}
    line = shown_line(width, 5, facts)
    assert len(line) < width
    assert "…" not in line
    assert line.count("quantity") == line.count("0.25")
    assert (line.count("quantity") == 8) == (width == 240)


def test_before_the_first_phase_the_live_line_says_what_is_going_on() -> None:
    stream = io.StringIO()
    progress = LiveProgress(Console(file=stream, force_terminal=True, width=80, color_system=None), Clock())
    progress.start("run", STAGES)
    progress.close()
    assert "starting workers" in stream.getvalue()
