"""What is told of a text while it grows."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from coevolve.serving.shown import Growing


def told(parts: list[str], stops: tuple[str, ...]) -> tuple[str, bool]:
    growing, text, out = Growing(stops), "", ""
    for part in parts:
        text += part
        out += growing.more(text, finished=False)
    out += growing.more(text, finished=True)
    assert out == growing.told
    return out, growing.cut


def test_a_stop_string_is_found_across_pieces() -> None:
    assert told(["one ST", "OP two"], ("STOP",)) == ("one", True)
    assert told(["one ST", "ART two"], ("STOP",)) == ("one START two", False)


def test_white_space_at_the_ends_is_left_out() -> None:
    assert told(["\n a ", " \n", "b\n"], ()) == ("a  \nb", False)


def test_half_a_character_waits_for_its_other_half() -> None:
    growing = Growing(())
    assert growing.more("a\ufffd", finished=False) == "a"
    assert growing.more("aé", finished=False) == "é"


@settings(deadline=None)
@given(st.lists(st.text("abc ", max_size=4), max_size=6), st.lists(st.text("abc ", min_size=1, max_size=3), max_size=3))
def test_pieces_add_up_to_what_is_told_of_the_whole(parts: list[str], stops: list[str]) -> None:
    whole = "".join(parts)
    ends = [at for stop in stops if (at := whole.find(stop)) >= 0]
    assert told(parts, tuple(stops)) == (whole[: min(ends, default=len(whole))].strip(), bool(ends))
