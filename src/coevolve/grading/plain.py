r"""Normalises an answer in any mixture of Unicode and LaTeX to one line of plain mathematics for the parser.

Styling, spacing and delimiters are removed; what carries meaning stays as LaTeX commands (``\frac``, ``\cup``, ``\{``).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from coevolve.grading.extract import closing_brace, holds_box, last_boxed
from coevolve.grading.tokens import FUNCTIONS
from coevolve.grading.units import MARK, unit_name

ROW = "\ue000"  # stands for LaTeX's \\, the end of a matrix row

VULGAR = {c: " " + unicodedata.normalize("NFKC", c).replace("\u2044", "/") for c in "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"}
_GREEK = dict(
    zip(
        "αβγδεζηθικλμνξρστυφχψωΓΔΘΛΞΣΦΨΩϕϵµℓℏħ",
        re.findall(
            r"\S+",
            r"alpha beta gamma delta epsilon zeta eta theta iota kappa lambda "
            r"mu nu xi rho sigma tau upsilon phi chi psi omega "
            r"Gamma Delta Theta Lambda Xi Sigma Phi Psi Omega phi epsilon mu ell hbar hbar",
        ),
        strict=True,
    )
)
_CHARACTERS = str.maketrans(
    VULGAR
    | dict.fromkeys("−–—‐‑﹣－", "-")
    | {letter: f"\\{name} " for letter, name in _GREEK.items()}
    | {
        "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "∙": r"\cdot ", "∗": "*", "÷": "/", "∕": "/", "\u2044": "/",
        "π": r"\pi ", "∞": r"\infty ", "√": r"\sqrt ", "∛": r"\sqrt[3]", "±": r"\pm ", "∓": r"\mp ", "≤": r"\le ",
        "≥": r"\ge ", "⩽": r"\le ", "⩾": r"\ge ", "≠": r"\ne ", "≈": r"\approx ", "∪": r"\cup ", "∩": r"\cap ",
        "∈": r"\in ", "∅": r"\emptyset ", "∖": r"\setminus ", "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}", "°": r"\degree ",
        "º": r"\degree ", "⟨": r"\langle ", "⟩": r"\rangle ", "’": "'", "‘": "'", "′": "'", "“": '"',
    "”": '"', "∣": "|",
        "⌊": r"\lfloor ", "⌋": r"\rfloor ", "⌈": r"\lceil ", "⌉": r"\rceil ", "∧": r"\land ", "∨": r"\lor ",
        "→": r"\to ", "↦": r"\mapsto ", "≡": r"\equiv ", "…": r"\dots ", "⋯": r"\dots ",
        "∠": r"\angle ", "△": r"\triangle ",
    }
)  # fmt: skip
_SUPERSCRIPTS = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿ]+")
_SUBSCRIPTS = re.compile("[₀₁₂₃₄₅₆₇₈₉]+")
_SMALL_FRACTION = re.compile("([⁰¹²³⁴⁵⁶⁷⁸⁹]+)[\u2044/]([₀₁₂₃₄₅₆₇₈₉]+)")
_INVISIBLE = re.compile("[\u200b-\u200f\u2060-\u2064\ufeff\u00ad\u061c\u202a-\u202e\u2066-\u2069]")
_SPACING = re.compile(
    r"\\[hv]space\*? ?\{[^{}]*\}|\\[hv]?phantom ?\{[^{}]*\}|\\!\s*|\\label\{[^{}]*\}|\\(?:text)?color ?\{[^{}]*\}|"
    rf"(?<={ROW})\s*\[ ?-?[0-9.]+ ?[a-z]{{2}} ?\]|\\hline(?![A-Za-z])"
)
_SPACES = re.compile(
    r"\\(?:[,;:> ]|(?:q?quad|displaystyle|textstyle|scriptstyle|limits|nolimits|thinspace|medspace|thickspace|enspace|"
    r"hfill|tiny|small|normalsize|[lL]arge|LARGE|[hH]uge|[bB]igg?[lrm]?|(?:left|right)\s?\.|left|middle|right|rm|bf|it|cal)(?![A-Za-z]))|[~\s]"
)
_GROUPED = re.compile(r"(?<![0-9.^_/}])([0-9]{1,3}(?:(?:\{,\}|\\[,;: ]|[\u2009\u202f\u00a0 ])[0-9]{3})+)(?![0-9/]| ?/)")
_GROUP = re.compile(r"\{,\}|\\[,;: ]|[\u2009\u202f\u00a0 ]")
_NAMES = {
    "dfrac": r"\frac", "tfrac": r"\frac", "cfrac": r"\frac", "dbinom": r"\binom", "tbinom": r"\binom", "leq": r"\le ",
    "geq": r"\ge ", "leqslant": r"\le ", "geqslant": r"\ge ", "neq": r"\ne ", "lt": "<", "gt": ">", "colon": ":",
    "varnothing": r"\emptyset ", "lbrace": r"\{", "rbrace": r"\}", "lvert": "|", "rvert": "|", "vert": "|", "mid": "|",
    "lbrack": "[", "rbrack": "]", "degrees": r"\degree ", "simeq": r"\approx ", "wedge": r"\land ", "vee": r"\lor ",
    "approxeq": r"\approx ", "varepsilon": r"\epsilon ", "varphi": r"\phi ", "vartheta": r"\theta ",
    "ast": "*", "div": "/",
    "bullet": r"\cdot ", "union": r"\cup ", "backslash": r"\setminus ", "ldots": r"\dots ",
    "cdots": r"\dots ", "Vert": "|",
    "lparen": "(", "rparen": ")", "prime": "'", "arcsinh": r"\arsinh ", "Reals": r"\mathbb{R}", "reals": r"\mathbb{R}",
    "rightarrow": r"\to ", "dollar": r"\money ", "textdollar": r"\money ", "textdegree": r"\degree ",
    "cdotp": r"\cdot ", "cr": ROW, "imath": "i", "jmath": "j", "longmapsto": r"\mapsto ", "equiv": r"\equiv ",
}  # fmt: skip
_COMMAND = re.compile(r"\\([A-Za-z]+)")
_STYLES = frozenset(
    re.findall(
        r"\S+",
        "text textbf textit textrm textsf texttt textnormal textup emph "
        "mathrm mathbf mathit mathsf mathcal mathtt operatorname mbox "
        "hbox bold boldsymbol bm fbox boxed ensuremath mathop vec overrightarrow underline mathord mathbin mathrel pmb",
    )
)
_STYLED = re.compile(r"\\([A-Za-z]+)\*?\s?\{")
_DEGREE = re.compile(
    r"\^\s?(?:\{\s?(?:\\circ|\\degree|o)\s?\}|\\circ(?![A-Za-z])|\\degree(?![A-Za-z]))|\\circ(?=\s?[CF]?$)"
)
_TIMES = re.compile(r"(?<=[0-9])\s?[xX]\s?(?=10\s?\^)|(?<=[0-9])\s[xX]\s(?=[0-9])")
_NUMBER = re.compile(r"[0-9]|\\pi(?![a-z])")
_PERCENT = re.compile(r"(?<=[0-9})])\s*(?i:percent(?:age)?|per cent|pct\.?)(?![A-Za-z])(?! points?\b)")
_ABOUT = re.compile(r"(?i)^(?:=|\\approx|\\sim|(?:approximately|about|roughly|approx\.?)(?= ?[-$\\0-9])) ?(?=.)")
_EXTREME = re.compile(r"_ ?(?:\{ ?\\(max|min) ?\}|\\(max|min)(?![a-z]))")
_TRANSPOSED = re.compile(r"\^ ?(?:\{ ?\\(?:top|intercal) ?\}|\\(?:top|intercal)(?![a-z]))")
_NUMBER_SET = re.compile(r"\\(?:mathbb|Bbb) ?(?:\{ ?([A-Z]) ?\}|([A-Z]))")
_POWER_SIGN = re.compile(r"(?<=[0-9A-Za-z)])\s?\*\*\s?(?=[-+0-9A-Za-z({])")
_UNIT_VECTOR = re.compile(r"\\(?:hat|widehat|vec) ?(?:\{ ?([ijk]) ?\}|([ijk])(?![A-Za-z]))")
_INFINITE = re.compile(r"(?<![A-Za-z\\])(?:inf|oo)(?![A-Za-z])")
_DOTS = re.compile(r"(?<![0-9.])([0-9]*\.[0-9]+) ?\\dots$")
_MODULUS = re.compile(
    r"\( ?\\?[pb]?mod(?:ulo)?(?![a-z]) ?\{? ?([^(){}]+?) ?\}? ?\)|"
    r"\\[pb]?mod(?![A-Za-z]) ?(?:\{ ?([^{}]*) ?\}|([0-9]+|[A-Za-z](?![A-Za-z])))|"
    r"(?<![A-Za-z\\])mod(?:ulo)? ([0-9]+|[a-z])(?= ?(?:=|\\equiv(?![a-z])|$))"
)
_CHOOSE = re.compile(
    r"(?:\{ ?\})? ?([_^]) ?(?:\{ ?(\w+) ?\}|(\w)) ?C ?_ ?(?:\{ ?(\w+) ?\}|(\w))|"
    r"(?<![A-Za-z\\])C ?\(([^(),]+),([^(),]+)\)"
)
_NO_WHOLE = re.compile(r"(?<![0-9A-Za-z{}()])\.(?=\\(?:overline|bar|dot)(?![a-z]))")
# What programs print around numbers: np.float64(0.5), Decimal('0.5'), Fraction(1, 2), (0.5+1j)
_PRINTED = re.compile(
    r"(?<![A-Za-z0-9_.\\])(?:(?:np|numpy)\.(?:float|int|uint)[0-9]*|Decimal|mpf)"
    r"\( ?['\"]?([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)['\"]? ?\)|"
    r"(?<![A-Za-z0-9_.\\])(?:Fraction|Rational)\( ?([-+]?[0-9]+), ?([0-9]+) ?\)"
)
_MATRIX = re.compile(r"(?:(?:np\.)?array|(?:Immutable(?:Dense)?)?Matrix)\( ?(\[.*\]) ?\)")
_REAL = r"[-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?"
_COMPLEX = re.compile(rf"\( ?({_REAL}) ?([-+] ?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)j ?\)")
_IMAGINARY = re.compile(r"(?<=[0-9]{14})j(?![A-Za-z0-9])")
_BACKSLASHES = re.compile(r"\\+")
_PAIR = re.compile(r"(?<!\\)\\\\(?!\\)(?:([A-Za-z]+)|(.))?", re.DOTALL)
_ESCAPED = frozenset("%$#&_{},;:!()[]|")
_OTHER_COMMANDS = re.findall(
    r"\S+",
    "frac sqrt left right begin end pi cdot times pm mp infty le ge ne in cup cap circ degree binom approx mod pmod "
    "bmod quad qquad overline bar hat max min gcd lcm lfloor rfloor lceil rceil langle rangle setminus emptyset "
    "mathbb to sum int prod lim dots displaystyle big Big bigl bigr angle triangle money",
)
_COMMANDS = frozenset((*_NAMES, *_STYLES, *_GREEK.values(), *FUNCTIONS, *_OTHER_COMMANDS))
_MAPPED = re.compile(r"(?:([A-Za-z]) ?: ?)?([a-z]) ?\\mapsto ?")
_ANSWER = re.compile(r"(?i)(?:the )?(?:final )?answer(?: is|:)\s*:?\s*(?=\S)")


def plain(answer: str) -> str:
    """The answer on one line. Raises nothing; the caller bounds the length."""
    text = undoubled(outer_box(answer)).replace(r"\\", ROW).strip()
    text = _INVISIBLE.sub("", text)
    if not text.isascii():
        text = _ascii_digits(_SMALL_FRACTION.sub(lambda match: " " + unicodedata.normalize("NFKC", match[0]), text))
    text = _SUPERSCRIPTS.sub(lambda match: "^{" + unicodedata.normalize("NFKC", match[0]) + "}", text)
    text = _SUBSCRIPTS.sub(lambda match: "_{" + unicodedata.normalize("NFKC", match[0]) + "}", text)
    text = _SPACING.sub("", text)
    text = _GROUPED.sub(lambda match: _GROUP.sub("", match[1]), text)
    text = unicodedata.normalize("NFKC", text.translate(_CHARACTERS)).translate(_CHARACTERS)
    text = _without_dollars(text).replace(r"\%", "%").replace(r"\#", "#").replace(r"\_", "_").replace(r"\&", " and ")
    for delimiter in (r"\(", r"\)", r"\[", r"\]"):
        text = text.replace(delimiter, " ")
    text = _unstyled(_SPACES.sub(" ", _POWER_SIGN.sub("^", text.replace("...", r"\dots ")).replace("**", "")))
    text = _DEGREE.sub(r"\\degree ", _COMMAND.sub(lambda match: _NAMES.get(match[1], match[0]), text))
    text = _GROUPED.sub(lambda match: _GROUP.sub("", match[1]), _TIMES.sub(r" \\times ", text))
    text = text.replace("negative infinity", r"-\infty ").replace("positive infinity", r"\infty ")
    text = _UNIT_VECTOR.sub(r"\1\2", _INFINITE.sub(r"\\infty ", _PERCENT.sub("%", text)))
    text = _NUMBER_SET.sub(r"\\mathbb{\1\2}", _TRANSPOSED.sub("^T", _EXTREME.sub(r"_{\1\2}", text)))
    text = _ABOUT.sub("", unwrapped(_ANSWER.sub("", " ".join(text.split()), count=1)))
    text = _MODULUS.sub(lambda match: rf" \mod {match[1] or match[2] or match[3] or match[4]}", text)
    text = _NO_WHOLE.sub("0.", _CHOOSE.sub(_binomial, _as_printed(text)))
    return _DOTS.sub(r"\1", _MAPPED.sub(lambda match: f"{match[1] or 'f'}({match[2]}) = ", text))


def _as_printed(text: str) -> str:
    """Numbers as Python prints them, in the notation of mathematics."""
    if "j" in text:
        text = _IMAGINARY.sub("i", _COMPLEX.sub(r"(\1\2i)", text))
    if "(" in text:
        text = _PRINTED.sub(lambda match: match[1] or rf"\frac{{{match[2]}}}{{{match[3]}}}", text)
        whole = _MATRIX.fullmatch(text)
        text = whole[1] if whole else text
    return text


def _ascii_digits(text: str) -> str:
    """Decimal digits of every script, and the small ones of fractions, as 0 to 9."""
    return "".join(str(unicodedata.decimal(c, c)) for c in text)


def _binomial(match: re.Match[str]) -> str:
    """``C(5, 2)`` and similar notation with subscripts as a binomial; ``C(2, 5)`` is a point."""
    top, bottom = (match[2] or match[3] or match[6]).strip(), (match[4] or match[5] or match[7]).strip()
    whole = top.isdigit() and bottom.isdigit() and len(top + bottom) < 9 and int(top) < int(bottom)
    return match[0] if whole or "-" in (top[:1], bottom[:1]) else rf"\binom{{{top}}}{{{bottom}}}"


def outer_box(answer: str) -> str:
    r"""The answer in an answer's last ``\boxed``, or the answer itself without one; empty for an empty box."""
    return last_boxed(answer) or "" if holds_box(answer) else answer


def undoubled(text: str) -> str:
    r"""The text with single backslashes where all are doubled, as in ``\\frac{1}{2}``.

    Two before a command that we know are such a pair; elsewhere they end a row of a matrix."""
    if r"\\" not in text:
        return text
    if any(len(match[0]) % 2 for match in _BACKSLASHES.finditer(text)):
        return text
    if any(match[1] not in _COMMANDS and match[2] not in _ESCAPED for match in _PAIR.finditer(text)):
        return text
    return _BACKSLASHES.sub(_halved, text)


def _halved(match: re.Match[str]) -> str:
    return match[0][: len(match[0]) // 2]


def _without_dollars(text: str) -> str:
    """Literal dollar signs become a command; those that delimit mathematics are removed."""
    text = text.replace(r"\$", r"\money ")
    if text.count("$") % 2 and re.match(r"[-+ ]*\$ ?[0-9.]", text):
        text = text.replace("$", r"\money ", 1)
    return text.replace("$", " ")


def _unstyled(text: str) -> str:
    """The text without styling commands; every round removes one."""
    position = 0
    while match := _STYLED.search(text, position):
        end = closing_brace(text, match.end()) if match[1] in _STYLES else None
        if end is None:
            position = match.end()
            continue
        content = text[match.end() : end]
        space = " " if match[1].startswith(("text", "mbox", "mathrm", "hbox")) else ""
        mark = MARK if space and _is_behind_formula(text[: match.start()]) and _is_short_unit(content) else ""
        text = f"{text[: match.start()]}{space}{mark}{content}{space}{text[end + 1 :]}"
        position = match.start()
    return text


def _is_behind_formula(text: str) -> bool:
    r"""Whether a text ends with a formula that holds a number; not with ``\mu``, which belongs to the unit."""
    bare = text.rstrip("\\,;:!~ \n")
    ends = bare[-1:].isalpha() or bare[-1:] in tuple(")}{]") or (bare[-1:].isdigit() and "\\" in bare)
    return ends and not bare.endswith("\\mu") and bool(_NUMBER.search(bare))


def _is_short_unit(text: str) -> bool:
    return len(text) < 12 and not re.search("[A-Za-z]{3}|[0-9](?![0-9}]*$)", text) and unit_name(text) is not None


def unwrapped(text: str) -> str:
    """The text without braces around everything, a closing period, or quotes; braces around a list denote a set."""
    previous = None
    while text != previous:
        previous = text
        if text.startswith("{") and "," not in text and closing(text, 0) == len(text) - 1:
            text = text[1:-1]
        if text.endswith((".", ";", ",", "?")) and not text.endswith((r"\,", r"\;", "..")):
            text = text[:-1]
        text = text.strip(ROW)
        if len(text) > 2 and text[0] == text[-1] and text[0] in "\"'`*":
            text = text[1:-1]
        text = text.strip()
    return text


def closing(text: str, start: int) -> int:
    r"""Index of the bracket that closes the one at ``start``, -1 when none does; ``\{`` counts as a bracket."""
    depth = 0
    for index in range(start, len(text)):
        if text[index] in "([{":
            depth += 1
        elif text[index] in ")]}":
            depth -= 1
            if depth == 0:
                return index
    return -1


def top_level(text: str, pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
    """The matches of a pattern outside all brackets."""
    depth, index = 0, 0
    while index < len(text):
        letter = text[index]
        if letter in ")]}" or text.startswith(r"\end{", index):
            depth -= 1
        if depth == 0 and (found := pattern.match(text, index)) and found.end() > index:
            yield found
            index = found.end()
            continue
        if letter in "([{" or text.startswith(r"\begin{", index):
            depth += 1
        index += 1


def split(text: str, separators: re.Pattern[str]) -> list[str]:
    """The parts between separators outside all brackets."""
    parts, start = [], 0
    for match in top_level(text, separators):
        parts.append(text[start : match.start()].strip())
        start = match.end()
    return [*parts, text[start:].strip()]
