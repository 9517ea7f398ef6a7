"""What the proposer asked before, as a run folder gives it back."""

from __future__ import annotations

from dataclasses import dataclass

from coevolve.methods.remembered import Asked, Remembered

from .memory import TablesInMemory


@dataclass(kw_only=True)
class Store(TablesInMemory):
    """A store of tables alone."""

    def log(self, row: object) -> None:
        raise AssertionError("nothing is logged")

    def save_folder(self, relative: str, write: object) -> object:
        raise AssertionError("nothing is saved")


def test_a_phase_that_is_taken_up_knows_the_steps_before_it_and_no_later_ones() -> None:
    store = Store()
    first = Remembered(store, 1)  # type: ignore[arg-type]
    assert first.before(0) == []
    first.add(0, ["one"], ["a"])
    first.add(1, ["two", "three"], [None, "a"])
    whole = [Asked(0, "one", "a"), Asked(1, "two", None), Asked(1, "three", "a")]
    assert first.before(2) == whole

    again = Remembered(store, 1)  # type: ignore[arg-type]
    assert again.before(1) == whole[:1], "step 1 is done once more"
    again.add(1, ["two", "three"], [None, "a"])
    assert again.before(2) == whole
    assert Remembered(store, 1).before(0) == [], "the phase begins anew"  # type: ignore[arg-type]


def test_an_iteration_knows_the_steps_and_the_pools_before_it() -> None:
    store = Store()
    first = Remembered(store, 1)  # type: ignore[arg-type]
    first.add(0, ["one"], ["a"])
    (path,) = first.files(1)
    assert str(path) == "questions/iteration-1.parquet"
    rows = [
        {"question": "a pool's", "well_formed": True, "shape": "b"},
        {"question": "malformed", "well_formed": False},
        {"question": "a duplicate", "well_formed": True},
    ]
    store.write_table("tasks/iteration-1.parquet", rows)
    second = Remembered(store, 2)  # type: ignore[arg-type]
    assert [(one.question, one.shape) for one in second.before(0)] == [
        ("one", "a"),
        ("a pool's", "b"),
        ("a duplicate", None),
    ]
