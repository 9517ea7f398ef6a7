"""From nested metrics rows to names with one value each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from coevolve.monitor.tracking.base import Histogram, Value

_HISTOGRAM = "_histogram"


def flat(row: Mapping[str, object]) -> dict[str, Value]:
    """A row of metrics.jsonl as ``event/name/...`` with numbers, texts and histograms; null is left out.

    What is named ``..._histogram`` becomes a histogram: a list counts equal bins over [0, 1] (p_hat), centred on 0,
    1/(n-1), ... 1; a mapping counts integers. Other lists and mappings become one value per entry, and truth values
    0 and 1.
    """
    event = str(row.get("event", "row"))
    rest = {key: value for key, value in row.items() if key != "event"}
    return dict(_values(event, rest))


def with_histograms(row: Mapping[str, Value], make: Callable[[Histogram], object]) -> dict[str, object]:
    """The row with each histogram as what ``make`` makes of it: every tracker has a type of its own."""
    return {name: make(value) if isinstance(value, Histogram) else value for name, value in row.items()}


def _values(name: str, value: object) -> Iterator[tuple[str, Value]]:
    if isinstance(value, bool | int | float):
        yield name, float(value)
    elif isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping | list):
        histogram = _histogram(value) if name.endswith(_HISTOGRAM) else None
        if histogram:
            yield name, histogram
            return
        for key, inner in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _values(f"{name}/{key}", inner)


def _histogram(value: Mapping[str, object] | list[object]) -> Histogram | None:
    """The histogram that a value stands for; None where it is no such thing."""
    if isinstance(value, list):
        counts = _numbers(value)
        if counts is None or len(counts) < 2:
            return None
        width = 1 / (len(counts) - 1)
        return Histogram(tuple((i - 0.5) * width for i in range(len(counts) + 1)), counts)
    counts = _numbers(list(value.values()))
    if not counts or not all(key.isdecimal() for key in value):
        return None
    bins = dict(zip(map(int, value), counts, strict=True))
    low, high = min(bins), max(bins)
    if high - low > 1000:
        return None
    edges = tuple(i - 0.5 for i in range(low, high + 2))
    return Histogram(edges, tuple(bins.get(i, 0.0) for i in range(low, high + 1)))


def _numbers(values: Sequence[object]) -> tuple[float, ...] | None:
    numbers = tuple(float(value) for value in values if isinstance(value, int | float))
    return numbers if len(numbers) == len(values) else None
