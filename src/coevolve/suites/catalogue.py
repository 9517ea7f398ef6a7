"""The public benchmarks as a table: where their rows are on the Hugging Face hub, in which form, and what is known.

The ten of the papers are those that R-Zero loads; the others are newer competitions of the same form. A set often has
several copies on the hub, and copies move and vanish: each has its place in the list, and the first that can be read
is taken.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Copy:
    """One place on the hub that has the rows of a benchmark."""

    repo: str
    split: str
    layout: str  # which fields a row has: a name in ``layouts.LAYOUTS``
    config: str = ""  # the folder or the part of the file names that sets its rows apart from others of the repository
    revision: str = "main"  # a commit where one is known
    digest: str = ""  # of ``content_digest``, where it is known


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A public set of problems."""

    name: str  # what users write, and its key in metrics and tables
    title: str
    rows: int
    licence: str
    copies: tuple[Copy, ...]  # in order of preference
    other_names: tuple[str, ...] = ()
    of_the_papers: bool = True  # one of the ten
    answers: str = ""  # ``layouts.answers_digest``, where it is known: equal for all copies, however they are typeset


BENCHMARKS: tuple[Benchmark, ...] = (
    Benchmark(
        "amc",
        "AMC 2023",
        40,
        "none stated; (c) Mathematical Association of America",
        (
            Copy("zwhe99/amc23", "test", "amc", "", "f9810c0439cd3c670ec885d328a2f06a87f3694a"),
            Copy("math-ai/amc23", "test", "amc", "", "80815d37005feb82cd7f8fbc6901d5d3eff43057"),
        ),
        ("amc23", "amc-23", "amc2023", "amc-2023"),
        answers="ad3d7d5e94fd317d9519461a6d3a0310e1690508d0b8de869d4e233810cb9bab",
    ),
    Benchmark(
        "minerva",
        "Minerva Math (OCW)",
        272,
        "CC BY-NC-SA 4.0 (MIT OpenCourseWare)",
        (
            Copy("zwhe99/simplerl-minerva-math", "test", "plain"),
            Copy("math-ai/minervamath", "test", "plain", "", "ee46ddc498933b1977577953250ca5c66be64f96"),
        ),
        ("minerva-math", "minervamath", "ocw"),
    ),
    Benchmark(
        "math-500",
        "MATH-500",
        500,
        "MIT",
        (Copy("HuggingFaceH4/MATH-500", "test", "math", "", "6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be"),),
        ("math500", "math"),
    ),
    Benchmark(
        "gsm8k",
        "GSM8K",
        1319,
        "MIT",
        (Copy("openai/gsm8k", "test", "gsm8k", "main", "cc7b047b6e5bb11b4f1af84efc572db110a51b3c"),),
        ("gsm-8k", "gsm"),
    ),
    Benchmark(
        "olympiad",
        "OlympiadBench (maths, English, text)",
        675,
        "Apache-2.0 or MIT, by copy (OpenBMB/OlympiadBench)",
        (
            Copy("zwhe99/simplerl-OlympiadBench", "test", "olympiad"),
            Copy("Hothan/OlympiadBench", "train", "olympiad", "OE_TO_maths_en_COMP"),
        ),
        ("olympiadbench", "olympiad-bench"),
    ),
    Benchmark(
        "aime24",
        "AIME 2024",
        30,
        "none stated; (c) Mathematical Association of America",
        (
            Copy("HuggingFaceH4/aime_2024", "train", "aime", "", "2fe88a2f1091d5048c0f36abc874fb997b3dd99a"),
            Copy("Maxwell-Jia/AIME_2024", "train", "aime", "", "8d88b2876a82a080e2f172cc9b25d0d9d2cb4792"),
            Copy("math-ai/aime24", "test", "aime", "", "83a7f387baaa524a8bda0022eac0541582297103"),
        ),
        ("aime-24", "aime2024", "aime-2024"),
        answers="d5c0989a943a83fd941c9c8ba9d2b6051baf4fa427a2ae714445641bf39bba68",
    ),
    Benchmark(
        "aime25",
        "AIME 2025",
        30,
        "none stated; (c) Mathematical Association of America",
        (
            Copy("yentinglin/aime_2025", "train", "aime", "", "6f71d77b0b89b9dabe07ab466c51df33f514df7f"),
            Copy("math-ai/aime25", "test", "aime", "", "563bb8404243c5f09de6ec262f2db674fe5bce9b"),
            Copy("MathArena/aime_2025", "train", "aime", "", "c94da77eb22bbd6439e62a323bec18493a421302"),
            Copy("opencompass/AIME2025", "test", "aime", "", "a6ad95f611d72cf628a80b58bd0432ef6638f958"),
        ),
        ("aime-25", "aime2025", "aime-2025"),
        answers="4d54cb1dd8772598e9da163fbe008d88e5c7dbe040fe7dec56da571158fa94ba",
    ),
    Benchmark(
        "supergpqa",
        "SuperGPQA",
        26529,
        "ODC-BY",
        (Copy("m-a-p/SuperGPQA", "train", "supergpqa"),),
        ("super-gpqa",),
    ),
    Benchmark(
        "mmlu-pro",
        "MMLU-Pro",
        12032,
        "MIT",
        (Copy("TIGER-Lab/MMLU-Pro", "test", "mmlu-pro", "", "527feea0afed1de15a8c115abf7be4c912123315"),),
        ("mmlupro",),
    ),
    Benchmark(
        "bbeh",
        "BIG-Bench Extra Hard",
        4520,
        "CC BY 4.0 (google-deepmind/bbeh)",
        (Copy("MrLight/bbeh-eval", "train", "bbeh"), Copy("BBEH/bbeh", "train", "bbeh")),
        ("bbeh-eval", "big-bench-extra-hard"),
    ),
    Benchmark(
        "aime26",
        "AIME 2026",
        30,
        "none stated; (c) Mathematical Association of America",
        (
            Copy("math-ai/aime26", "test", "aime", "", "79037aebdb6580008fb960d17cb21fd3099083e3"),
            Copy("MathArena/aime_2026", "train", "aime", "", "d2de22f3c656b4f56cf8981212186377d1e23bc3"),
        ),
        ("aime-26", "aime2026", "aime-2026"),
        of_the_papers=False,
    ),
    Benchmark(
        "hmmt-feb25",
        "HMMT February 2025",
        30,
        "CC BY-NC-SA 4.0 (MathArena)",
        (Copy("MathArena/hmmt_feb_2025", "train", "plain", "", "6fdc4277120810ff75aa22d2d5489b91f7a262a1"),),
        ("hmmt25", "hmmt-feb-2025", "hmmt-2025"),
        of_the_papers=False,
    ),
    Benchmark(
        "hmmt-nov25",
        "HMMT November 2025",
        30,
        "CC BY-NC-SA 4.0 (MathArena)",
        (Copy("MathArena/hmmt_nov_2025", "train", "plain"),),
        ("hmmt-nov-2025",),
        of_the_papers=False,
    ),
)

# The groups of the papers' tables, in their order.
MATHS = ("amc", "minerva", "math-500", "gsm8k", "olympiad", "aime25", "aime24")
GENERAL = ("supergpqa", "mmlu-pro", "bbeh")

BY_NAME: dict[str, Benchmark] = {
    name: benchmark for benchmark in BENCHMARKS for name in (benchmark.name, *benchmark.other_names)
}


def named(spec: str) -> Benchmark | None:
    """The benchmark of a name as users write it: in any case, with "_" or a space for "-"."""
    return BY_NAME.get(spec.strip().lower().replace("_", "-").replace(" ", "-"))
