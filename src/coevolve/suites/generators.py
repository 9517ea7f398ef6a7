"""The generators of reasoning-gym 0.1.25 as data: how the answers of each are compared, and the sets that have a name.

The package scores answers itself, but gives credit for parts, and some of its scorers hand the text of the model to
``eval``, ``sympy.parse_expr`` or to loops that it can make as long as it likes. So our own grader decides wherever one
answer is right, and the package only where several are and its scorer was read and found bounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from coevolve.grading.grade import Kind


class How(Enum):
    """What decides whether an answer is right."""

    GRADER = auto()  # our grader of the answer's kind
    COMPUTED = auto()  # our judge, but the question is an expression, and to repeat it is no answer
    REACHES = auto()  # four operations on the given numbers, each used once, that give the target
    ONE_OF = auto()  # any text of the generator's own list
    PACKAGE = auto()  # full credit of the package's scorer


@dataclass(frozen=True, slots=True)
class Answers:
    """How the answers of a generator are compared.

    ``kind`` is that of our grader; where something else decides, it says what equal answers are in a vote.
    """

    kind: Kind
    how: How = How.GRADER


def _each(names: str, kind: Kind, how: How = How.GRADER) -> dict[str, Answers]:
    return dict.fromkeys(names.split(), Answers(kind, how))


ANSWERS: Mapping[str, Answers] = {
    # a number, a point or a list of numbers
    **_each(
        "advanced_geometry aiw binary_alternation circuit_logic coin_flip count_bits count_primes dice gcd "
        "gsm_symbolic largest_island lcm leg_counting letter_counting maze number_sequence polynomial_equations "
        "rectangle_count rotten_oranges self_reference simple_equations simple_geometry",
        Kind.MATH,
    ),
    # words, names, truth values, letters, lists of these: case does not count
    **_each(
        "acre base_conversion bitwise_arithmetic caesar_cipher calendar_arithmetic color_cube_rotation course_schedule "
        "family_relationships figlet_font game_of_life game_of_life_halting letter_jumble "
        "mahjong_puzzle needle_haystack number_filtering number_sorting sentence_reordering spell_backward syllogism "
        "time_intervals tsumego word_sequence_reversal word_sorting zebra_puzzles",
        Kind.FUZZY,
    ),
    # grids, strings and programs: every character counts but the kind of white space
    **_each(
        "ab arc_1d arc_agi bf binary_matrix emoji_mystery futoshiki manipulate_matrix mini_sudoku modulo_grid "
        "path_star rearc rotate_matrix spiral_matrix string_insertion string_manipulation string_splitting "
        "string_synthesis sudoku survo",
        Kind.EXACT,
    ),
    **_each("basic_arithmetic chain_sum complex_arithmetic decimal_chain_sum products", Kind.MATH, How.COMPUTED),
    # the package evaluates the answer as a program; we compute with it as with any other expression
    **_each("countdown puzzle24", Kind.MATH, How.REACHES),
    **_each("n_queens", Kind.EXACT, How.ONE_OF),
    # the form decides: lowest terms, factors, so many digits
    **_each("fraction_simplification prime_factorization", Kind.EXACT, How.PACKAGE),
    **_each("decimal_arithmetic number_format power_function", Kind.MATH, How.PACKAGE),
    # several answers are right
    **_each(
        "cryptarithm graph_color group_anagrams jugs kakurasu knights_knaves palindrome_generation "
        "palindrome_partitioning quantum_lock shortest_path sokoban",
        Kind.EXACT,
        How.PACKAGE,
    ),
}

# Where the package's own parameters make problems that are none.
PARAMETERS: Mapping[str, Mapping[str, object]] = {
    "basic_arithmetic": {"operators": ("+", "-", "*")},  # with "/" some quotients are rounded down without a word
}

_EVALUATES = "several answers are right, and its scorer would evaluate the text of the model as a program"
_UNBOUNDED = "several answers are right, and an answer can make its scorer run for as long as it likes"
_BY_PROCESS = "its problems differ from process to process: it draws from sets, whose order depends on the hash seed"
REFUSED: Mapping[str, str] = {
    "boxnet": "it gives no reference answer, and no answer that it scores as wholly right",
    "codeio": "it runs programs of its data set in this process to make its problems",
    "composite": "it is a mixture that needs a configuration; name the generators instead",
    "intermediate_integration": _EVALUATES,
    "isomorphic_strings": _BY_PROCESS,
    "knight_swap": _BY_PROCESS,
    "list_functions": _BY_PROCESS,
    "polynomial_multiplication": _BY_PROCESS,
    "pool_matrix": "its scorer takes numbers for right that are wrong by one percent",
    "propositional_logic": _UNBOUNDED,
    "ransom_note": _BY_PROCESS,
    "rubiks_cube": _UNBOUNDED,
    "rush_hour": _UNBOUNDED,
    "simple_integration": _EVALUATES,
    "tower_of_hanoi": "several answers are right, and its scorer writes on the screen",
    "word_ladder": _BY_PROCESS,
}


@dataclass(frozen=True, slots=True)
class Part:
    """Problems of one generator in a set.

    Args:
        generator: its name in the package.
        share: how many of the set's problems, next to the shares of the other parts.
        parameters: of the generator; what is not named has the package's default.
        level: how hard they are among those of the same generator.
    """

    generator: str
    share: int
    parameters: Mapping[str, object] = field(default_factory=dict)
    level: str = ""


@dataclass(frozen=True, slots=True)
class NamedSet:
    """A set with a name; ``digest`` is that of its problems as the package's VERSION makes them, at seed 0."""

    size: int
    parts: tuple[Part, ...]
    digest: str


VERSION = "0.1.25"
SETS: Mapping[str, NamedSet] = {
    "arithmetic": NamedSet(
        300,
        (
            Part("basic_arithmetic", 3, {"min_terms": 2, "max_terms": 3, "max_digits": 2}, "easy"),
            Part("basic_arithmetic", 3, {"min_terms": 4, "max_terms": 6, "min_digits": 2, "max_digits": 4}, "hard"),
            Part("chain_sum", 2, {"max_terms": 3, "max_digits": 2}, "easy"),
            Part("chain_sum", 2, {"min_terms": 4, "min_digits": 3}, "hard"),
            Part("products", 2, {"max_digits": 2}, "easy"),
            Part("products", 2, {"min_digits": 3}, "hard"),
            Part("decimal_chain_sum", 2),
            Part("fraction_simplification", 2),
            Part("prime_factorization", 2),
            Part("gcd", 2),
            Part("lcm", 2),
        ),
        "9532b3ff74158cea9e43ca9302c328ba62b2d18028eaaa51d6a1a81b58644dfd",
    ),
    "word-problems": NamedSet(
        300,
        (
            Part("gsm_symbolic", 10),
            Part("leg_counting", 1, {"max_animals": 4}, "easy"),
            Part("leg_counting", 1, {"min_animals": 7}, "hard"),
            Part("aiw", 1),
            Part("calendar_arithmetic", 1),
            Part("coin_flip", 1),
        ),
        "11a345b6159d45b58c804198aa40dc6779d6a0cfe9eb624f8fb5a5010fb8e8d1",
    ),
    "algebra": NamedSet(
        200,
        (
            Part("simple_equations", 3, {"max_terms": 2}, "easy"),
            Part("simple_equations", 3, {"min_terms": 3}, "hard"),
            Part("polynomial_equations", 4, {"max_degree": 2}),
            Part("complex_arithmetic", 4),
            Part("number_sequence", 6),
        ),
        "ce0c0a76f8b0ba5f21111b6dee59cb605a7dfe2979970885851750514f5fc67e",
    ),
    "logic": NamedSet(
        200,
        (
            Part("knights_knaves", 3, level="easy"),
            Part("knights_knaves", 3, {"n_people": 3}, "hard"),
            Part("syllogism", 4),
            Part("family_relationships", 4),
            Part("zebra_puzzles", 1),
            Part("self_reference", 5),
        ),
        "33f180b428e97bef9d47b571ee2858f032d65efce870af998bea75a6e421f9bf",
    ),
    "mixed": NamedSet(
        400,
        (
            Part("gsm_symbolic", 5),
            Part("basic_arithmetic", 2),
            Part("simple_equations", 2),
            Part("number_sequence", 2),
            Part("fraction_simplification", 1),
            Part("calendar_arithmetic", 1),
            Part("knights_knaves", 2),
            Part("family_relationships", 1),
            Part("countdown", 1),
            Part("letter_counting", 1),
            Part("word_sorting", 1),
            Part("largest_island", 1),
        ),
        "5f9fda2be75c72b334b34dd663b43302a888a78292a7fff18e253ba12b884c58",
    ),
}
