"""The worlds by name: the one place where a name becomes a world."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from coevolve.config import WorldSettings
from coevolve.config.dotted import is_dotted, load_object
from coevolve.config.keys import unknown
from coevolve.engine.hub import model_folder
from coevolve.worlds.base import World
from coevolve.worlds.code.learner import CodeWorld
from coevolve.worlds.games.learner import GamesWorld
from coevolve.worlds.miniature.learner import BASES, MiniatureWorld
from coevolve.worlds.open.contract import Acting
from coevolve.worlds.open.learner import OpenWorld
from coevolve.worlds.open.prompting import prompt_file
from coevolve.worlds.open.stand_in.build import make_small


@dataclass(frozen=True, slots=True)
class TextSizes:
    """Averages of finished runs, for plans: tokens of a text, and bytes of a stored trajectory."""

    question: int
    answer: int
    trained: int  # of an answer
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class WorldEntry:
    """A world, and what is asked of it before it is opened.

    Args:
        open: the learner's view of it; costs nothing.
        example: a question, for whoever wants to ask one.
        plain: simple questions of several kinds, for a first look at a model; empty: the example.
        prompt_tokens: an allowance for framing and question, for plans of memory.
        sizes: None where nothing was measured: plans take half of what is allowed.
        check: raises ValueError where the settings do not fit the world; says which keys contradict each other.
        make_model: makes the world's own base model where it does not come with the package.
        note: said at the start of a run with the world's own base model.
    """

    open: Callable[[WorldSettings], World]
    example: str = "your question"
    plain: tuple[str, ...] = ()
    prompt_tokens: int = 512
    sizes: TextSizes | None = None
    check: Callable[[WorldSettings], None] = lambda settings: None
    make_model: Callable[[], object] | None = None
    note: str = ""


def _check_miniature(settings: WorldSettings) -> None:
    if settings.model.prompts != "agent0":
        raise ValueError("model.prompts is for world open: the miniature has prompts of its own")


def _check_open(settings: WorldSettings) -> None:
    file, tool = prompt_file(settings.model.prompts), settings.tool.enabled
    try:
        file.solver_with(tool=tool)
    except ValueError as error:
        other = "only of one with it" if file.solver else "only of one without it"
        raise ValueError(
            f"model.prompts has no prompts of a solver {'with' if tool else 'without'} the tool, {other}: "
            "tool.enabled must fit it"
        ) from error
    if settings.composing and file.proposer.opening:
        raise ValueError(
            f"model.prompts makes every text of the proposer begin with {file.proposer.opening}, so that it never "
            "comes to its tool: proposer.tool needs other prompts"
        )


def _open_miniature(settings: WorldSettings) -> World:
    path = settings.model.path
    return MiniatureWorld(None if path is None else BASES[path] if path in BASES else model_folder(path))


def _check_code(settings: WorldSettings) -> None:
    if settings.model.prompts not in ("agent0", _WORDS):
        raise ValueError(
            f"model.prompts is for world open; world code has prompts of its own, and with model.prompts={_WORDS} "
            "prompts in plain language for other models"
        )
    if settings.model.prompts == _WORDS and settings.model.path is None:
        raise ValueError(f"model.prompts={_WORDS} needs a model that can read it: set model.path")


def _open_code(settings: WorldSettings) -> World:
    path, plain = settings.model.path, settings.model.prompts == _WORDS
    return CodeWorld(None if path is None else model_folder(path), settings.sandbox, settings.tool.cache, plain=plain)


def _check_games(settings: WorldSettings) -> None:
    if settings.tool.enabled:
        raise ValueError("no seat of world games has a tool: tool.enabled must be false, as in coevolve run spiral")
    if settings.model.prompts != "agent0":
        raise ValueError("model.prompts is for world open: world games has prompts of its own")


def _open_games(settings: WorldSettings) -> World:
    path = settings.model.path
    return GamesWorld(None if path is None else model_folder(path))


def _open_open(settings: WorldSettings) -> World:
    tool = settings.tool
    acting = Acting(tool.enabled, tool.call_at, tool.state, settings.dialogue.turns, settings.composing)
    return OpenWorld(settings.model.path, settings.model.prompts, acting)


_SHORT_PROMPT = 64
_WORDS = "plain"  # prompts of the world of programs in plain language
_PROGRAMS = 160  # a task of ten lists, or a few examples before a proposal
_PLAIN = (
    "What is the product of 17 and 24?",
    "A notebook costs 3 dollars. How many dollars do 7 notebooks cost?",
    "What is the remainder when 47 is divided by 6?",
    "What is the area of a rectangle that is 6 long and 9 wide?",
)
WORLDS: Mapping[str, WorldEntry] = {
    "miniature": WorldEntry(
        _open_miniature,
        example=MiniatureWorld.example,
        prompt_tokens=_SHORT_PROMPT,
        sizes=TextSizes(question=25, answer=35, trained=20, stored_bytes=250),
        check=_check_miniature,
    ),
    "code": WorldEntry(_open_code, example=CodeWorld.example, prompt_tokens=_PROGRAMS, check=_check_code),
    "games": WorldEntry(
        _open_games,
        example=GamesWorld.example,
        prompt_tokens=32,
        sizes=TextSizes(question=16, answer=60, trained=12, stored_bytes=250),
        check=_check_games,
    ),
    "open": WorldEntry(
        _open_open,
        example=_PLAIN[0],
        plain=_PLAIN,
        check=_check_open,
        make_model=make_small,
        note="model.path is not set: the base model is a small random one, and nothing it learns means anything",
    ),
}
_OF_A_WORLD = ("base_model", "is_well_formed", "is_reserved", "user_turns", "describe")


def world_named(name: str) -> WorldEntry:
    """The entry of a world, or of a class of one's own by dotted path.

    Such a class implements :class:`coevolve.worlds.base.World`. It is made without arguments, unless it has a class
    method ``opened`` that takes :class:`coevolve.config.WorldSettings`; ``example``, ``prompt_tokens`` and ``sizes``
    may stand in it.

    Raises:
        ConfigError: there is none.
    """
    if name in WORLDS:
        return WORLDS[name]
    if not is_dotted(name):
        raise unknown("world", name, list(WORLDS))
    found = load_object(name, "world", needs=_OF_A_WORLD)
    given = {key: getattr(found, key) for key in ("example", "prompt_tokens", "sizes") if hasattr(found, key)}
    given.setdefault("prompt_tokens", _SHORT_PROMPT)  # what nobody has stated may not refuse a run: it is short
    return WorldEntry(getattr(found, "opened", lambda settings: found()), **given)


def open_world(settings: WorldSettings) -> World:
    """The learner's view of a world with the base model that ``model.path`` names, or with its own."""
    return world_named(settings.name).open(settings)
