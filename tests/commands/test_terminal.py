"""What a person's terminal is shown of text that a model or its code wrote."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from coevolve.commands.markdown import harmless

PRINTS_COMMANDS = r"print('\x1b[2J\x1b]0;title\x07' + '\u202e' + 'safe')"


def test_no_control_character_but_tab_and_line_feed_is_left() -> None:
    everything = "".join(map(chr, range(0x3000)))
    controls = {c for c in harmless(everything) if unicodedata.category(c) == "Cc"}
    assert controls == {"\t", "\n"}
    assert not {c for c in harmless(everything) if unicodedata.bidirectional(c) in {"RLO", "LRO", "RLE", "LRE", "PDF"}}


@pytest.mark.parametrize("text", ["3 * 4 = 12", "naïve\t√2 → ∞\n", "שלום", "👩\u200d🔬", ""])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert harmless(text) == text


def test_a_terminal_is_shown_escapes_and_a_pipe_gets_the_bytes(tmp_path: Path) -> None:
    file = tmp_path / "snippet.py"
    file.write_text(PRINTS_COMMANDS)
    command = [sys.executable, "-m", "coevolve", "sandbox", "run", str(file)]
    piped = subprocess.run(command, capture_output=True, check=True)
    assert piped.stdout.decode() == "\x1b[2J\x1b]0;title\x07\u202esafe\n"
    ours, theirs = pty.openpty()
    subprocess.run(command, stdout=theirs, stderr=subprocess.DEVNULL, check=True)
    os.close(theirs)
    shown = os.read(ours, 4096).decode()
    os.close(ours)
    assert shown.rstrip() == r"\x1b[2J\x1b]0;title\x07\u202esafe"
