r"""One line of plain mathematics from an answer in Unicode and LaTeX of all sorts, for the parser.

Styling, spacing and delimiters go; what carries meaning stays as LaTeX commands (``\frac``, ``\cup``, ``\{``).
"""

from __future__ import annotations

import re
import unicodedata

ROW = "\ue000"  # stands for LaTeX's \\, the end of a matrix row
MONEY = "\ue001"  # stands for \$, a dollar sign that is meant

_VULGAR = "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"
# fmt: off
_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi chi psi omega "
    "Gamma Delta Theta Lambda Xi Sigma Phi Psi"
)
_CHARACTERS = str.maketrans(
    {letter: " " + unicodedata.normalize("NFKC", letter).replace("\u2044", "/") for letter in _VULGAR}
    | dict.fromkeys("−–—‐‑﹣－", "-")
    | {letter: f"\\{name} " for letter, name in zip("αβγδεζηθικλμνξρστυφχψωΓΔΘΛΞΣΦΨ", _GREEK.split(), strict=True)}
    | {
        "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "∙": r"\cdot ", "÷": "/", "∕": "/", "\u2044": "/",
        "π": r"\pi ", "∞": r"\infty ", "√": r"\sqrt ", "±": r"\pm ", "∓": r"\mp ", "≤": r"\le ", "≥": r"\ge ",
        "≠": r"\ne ", "⩽": r"\le ", "⩾": r"\ge ", "≈": r"\approx ", "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ",
        "∅": r"\emptyset ", "ℝ": r"\mathbb{R}", "°": r"^\circ ", "º": r"^\circ ", "⟨": "(", "⟩": ")", "’": "'",
        "‘": "'", "“": '"', "”": '"', "⌊": r"\lfloor ", "⌋": r"\rfloor ", "⌈": r"\lceil ", "⌉": r"\rceil ",
        "∣": "|", "∗": "*",
    }
)
# fmt: on
_SUPERSCRIPTS = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿ]+")
_SUBSCRIPTS = re.compile("[₀₁₂₃₄₅₆₇₈₉]+")
_INVISIBLE = re.compile("[\u200b-\u200f\u2060-\u2064\ufeff\u00ad\u061c\u202a-\u202e\u2066-\u2069]")

_STYLED = re.compile(
    r"\\(?:text|textbf|textit|textrm|textsf|texttt|textnormal|mathrm|mathbf|mathit|mathsf|mathcal|operatorname|mbox|"
    r"hbox|bold|boldsymbol|underline|boxed|fbox|ensuremath|mathop)\*? ?(?=\{)"
)
_INFIX = re.compile(r"\{([^{}]*)\\(over|choose)(?![A-Za-z])([^{}]*)\}")  # TeX's own fractions and binomials
_TIMES = re.compile(r"(?<=[0-9]) ?[xX] ?(?=10 ?\^)")  # 1.6 x 10^-19
_SPACES = re.compile(
    r"\\(?:[,;:! >]|(?:q?quad|displaystyle|textstyle|limits|nolimits|thinspace|medspace|enspace|hfill|"
    r"[bB]igg?[lrm]?|left|middle|right)(?![A-Za-z]))|[~\s]"
)
_SPACING = re.compile(r"\\(?:hspace|vspace|phantom|hphantom)\*? ?\{[^{}]*\}")
_GROUPED = re.compile(r"(?<![0-9.])([0-9]{1,3}(?:(?:\{,\}|,\\! ?|\\[,!;: ]|[\u2009\u202f\u00a0 ])[0-9]{3})+)(?![0-9])")
_GROUP = re.compile(r"\{,\}|,\\! ?|\\[,!;: ]|[\u2009\u202f\u00a0 ]")
# fmt: off
_NAMES = {
    "dfrac": "frac", "tfrac": "frac", "cfrac": "frac", "dbinom": "binom", "tbinom": "binom", "leq": "le",
    "geq": "ge", "leqslant": "le", "geqslant": "ge", "neq": "ne", "lt": "<", "gt": ">",
    "varnothing": "emptyset", "lbrace": "{", "rbrace": "}", "lvert": "|", "rvert": "|", "vert": "|",
    "lbrack": "[", "rbrack": "]", "langle": "(", "rangle": ")", "degree": r"^\circ", "degrees": r"^\circ",
    "colon": ":", "sim": "approx", "approxeq": "approx", "varepsilon": "epsilon", "varphi": "phi",
    "vartheta": "theta", "ast": "*", "div": "/", "cdotp": "cdot", "mathord": "", "mid": "|", "union": "cup",
    "bigcup": "cup", "bigcap": "cap", "rm": "", "bf": "", "it": "",
}
# fmt: on
_COMMAND = re.compile(r"\\([A-Za-z]+)")


def plain(answer: str) -> str:
    """The answer on one line. Raises nothing; the length is the caller's to bound."""
    text = answer.replace(r"\\", ROW).replace("\n", " ").replace("\t", " ")
    text = _SUPERSCRIPTS.sub(lambda match: "^{" + unicodedata.normalize("NFKC", match[0]) + "}", text)
    text = _SUBSCRIPTS.sub(lambda match: "_{" + unicodedata.normalize("NFKC", match[0]) + "}", text)
    text = _GROUPED.sub(lambda match: _GROUP.sub("", match[1]), text)
    text = unicodedata.normalize("NFKC", text.translate(_CHARACTERS)).translate(_CHARACTERS)
    text = _dollars(_INVISIBLE.sub("", text)).replace(r"\%", "%").replace(r"\#", "#").replace(r"\_", "_")
    for delimiter in (r"\(", r"\)", r"\[", r"\]"):
        text = text.replace(delimiter, " ")
    text = _SPACES.sub(" ", _SPACING.sub(" ", text))
    text = _COMMAND.sub(_renamed, text)
    text = _TIMES.sub(r"\\times ", _unstyled(text))
    count = 1
    while count:  # from the innermost braces outwards; every round takes a command away
        text, count = _INFIX.subn(_prefix, text)
    return " ".join(text.split())


def _unstyled(text: str) -> str:
    """Without the commands of style and the braces around what they style."""
    ends: list[bool] = []  # of each open brace, whether it goes
    kept: list[str] = []
    position = 0
    while position < len(text):
        style = _STYLED.match(text, position)
        if style:
            ends.append(True)
            kept.append(" ")
            position = style.end() + 1
            continue
        letter = text[position]
        if letter == "\\":
            kept.append(text[position : position + 2])
            position += 2
            continue
        if letter == "{":
            ends.append(False)
        kept.append(" " if letter == "}" and ends and ends.pop() else letter)
        position += 1
    return "".join(kept)


def _prefix(match: re.Match[str]) -> str:
    return ("\\frac" if match[2] == "over" else "\\binom") + f"{{{match[1]}}}{{{match[3]}}}"


def _dollars(text: str) -> str:
    """Dollar signs that are meant as MONEY; those around mathematics go."""
    text = text.replace(r"\$", MONEY)
    if text.count("$") == 1 and re.match(r"[-+ ]*\$ ?[0-9.]", text):
        text = text.replace("$", MONEY)
    return text.replace("$", " ")


def _renamed(match: re.Match[str]) -> str:
    name = _NAMES.get(match[1])
    if name is None:
        return match[0]
    if not name:
        return " "
    if name in "{}":
        return "\\" + name
    return "\\" + name if name.isalpha() else name


def unwrapped(text: str) -> str:
    """Without outer braces, a closing period, or quotes around everything."""
    previous = None
    while text != previous:
        previous = text
        if text.startswith("{") and closing(text, 0) == len(text) - 1 and "," not in text:
            text = text[1:-1]
        if text.endswith((".", ";", ",")) and not text.endswith(".."):
            text = text[:-1]
        if len(text) > 2 and text[0] == text[-1] and text[0] in "\"'`":
            text = text[1:-1]
        text = text.strip()
    return text


_OPENERS = {"(": ")", "[": "]", "{": "}"}


def closing(text: str, start: int) -> int:
    """Index of the bracket that closes the one at ``start``; -1 when none does. ``(`` may be closed by ``]``."""
    depth = 0
    for index in range(start, len(text)):
        if text[index] in "([{":
            depth += 1
        elif text[index] in ")]}":
            depth -= 1
            if depth == 0:
                return index
    return -1


def split(text: str, separators: re.Pattern[str]) -> list[str]:
    """The parts between separators that stand outside of all brackets and bars' pairs."""
    parts, depth, start, index = [], 0, 0, 0
    while index < len(text):
        letter = text[index]
        if letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
        elif depth == 0 and (found := separators.match(text, index)) and found.end() > index:
            parts.append(text[start:index].strip())
            start = index = found.end()
            continue
        index += 1
    return [*parts, text[start:].strip()]
