"""Makes the folder of a stand-in, a random model with the sizes of a family: ``coevolve world random-model``."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coevolve.engine.hub import FAMILIES
from coevolve.errors import ConfigError, ModelError
from coevolve.permissions import follow_umask
from coevolve.system import cache_folder
from coevolve.worlds.open.stand_in.tokenizer import (
    END,
    NAMINGS,
    OBSERVED,
    OTHER_END,
    START,
    TRANSITIONS,
    Naming,
    in_bytes,
    save_tokenizer,
)

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_BEFORE_ANSWERS = (":", "\n", "\n\n")  # what prompts end with, by contract and template
_AFTER_OUTPUT = "7\n```\n"


@dataclass(frozen=True, slots=True)
class StandIn:
    """What to make; None means as in the family."""

    like: str = "qwen3-8b"
    layers: int | None = None
    hidden: int | None = None
    vocabulary: int | None = None  # ids of the tokenizer
    chat: bool = True
    dtype: str = "float32"
    seed: int = 0


SMALL = StandIn(layers=2, hidden=64)  # the open world's own base model


def build_stand_in(out: Path, what: StandIn) -> None:
    """Write the folder. Equal calls write equal bytes on one kind of machine.

    Args:
        out: folder to make; it must not exist or be empty.
        what: family and sizes.

    Raises:
        ConfigError: the folder is in use, the family is not known, or the sizes do not suit it.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ConfigError("this is no empty folder", where=str(out), fix="name another one")
    if what.dtype not in ("float32", "bfloat16"):
        raise ConfigError(f"weights of {what.dtype} are not made", where="--dtype", fix="float32 or bfloat16")
    if what.like not in FAMILIES:
        raise ConfigError(f"no family is named {what.like}", where="--like", fix=f"one of: {', '.join(FAMILIES)}")
    content = _sizes(dict(FAMILIES[what.like].config), what)
    naming = NAMINGS[content["model_type"]]
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig
    from transformers.initialization import no_init_weights

    from coevolve.engine.local.models import quiet
    from coevolve.worlds.open.stand_in.random_model import weave

    out.mkdir(parents=True, exist_ok=True)
    tokenizer = save_tokenizer(
        out, naming, size=what.vocabulary, chat=what.chat, longest=content["max_position_embeddings"]
    )
    eos, beginning = tokenizer.token_to_id(naming.eos), tokenizer.token_to_id(naming.beginning or naming.eos)
    content |= {"eos_token_id": eos, "bos_token_id": beginning}
    with quiet():
        config = AutoConfig.for_model(**content)
        with no_init_weights():  # every number is drawn below; twice takes minutes for billions of them
            model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, what.dtype))
        model.tie_weights()
        weave(model, _table(tokenizer, naming), what.seed)
        model.generation_config = GenerationConfig(eos_token_id=eos, bos_token_id=beginning, do_sample=True)
        model.save_pretrained(out)
    for file in out.glob("*.safetensors"):
        follow_umask(file)


def small_folder() -> Path:
    """Where the open world's own base model is, or will be."""
    return cache_folder("models") / f"stand-in-{SMALL.like}-{SMALL.layers}x{SMALL.hidden}-seed{SMALL.seed}-2"


def make_small() -> None:
    """Make the open world's own base model when it is not there; a few seconds.

    Raises:
        ModelError: the cache cannot be written to.
    """
    final = small_folder()
    if final.is_dir():
        return
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=final.parent) as place:
            made = Path(place) / "model"
            build_stand_in(made, SMALL)
            os.rename(made, final)
    except OSError as error:
        if not final.is_dir():  # one that another process has made meanwhile is as good
            raise ModelError(
                f"the open world's own base model cannot be made: {error}",
                where=str(final),
                fix="make room there, name another place by XDG_CACHE_HOME, or set model.path",
            ) from error


def _sizes(content: dict[str, Any], what: StandIn) -> dict[str, Any]:
    """The family's configuration with the sizes that are given."""
    naming = NAMINGS[content["model_type"]]
    if what.layers is not None:
        content["num_hidden_layers"] = what.layers
    if what.hidden is not None:
        heads = max(2, what.hidden // 32)
        if what.hidden < 64 or what.hidden % (2 * heads):
            raise ConfigError(
                f"a width of {what.hidden} does not suit", where="--hidden", fix="64 or a larger power of two"
            )
        content |= {
            "hidden_size": what.hidden,
            "intermediate_size": 3 * what.hidden,
            "num_attention_heads": heads,
            "num_key_value_heads": max(1, heads // 4),
            "head_dim": what.hidden // heads,
        }
    if what.vocabulary is not None:
        least = 2_000
        if not least <= what.vocabulary <= naming.total:
            raise ConfigError(
                f"a vocabulary of {what.vocabulary} does not suit",
                where="--vocabulary",
                fix=f"between {least} and {naming.total}",
            )
        content["vocab_size"] += what.vocabulary - naming.total  # as many rows beyond the tokens as in the family
    return content


def _table(tokenizer: Tokenizer, naming: Naming) -> dict[int, Mapping[int, float]]:
    """The chain over token ids."""

    def last(text: str) -> int:
        return int(tokenizer.encode(text, add_special_tokens=False).ids[-1])

    def of(name: str) -> int:
        names = {END: naming.end_of_turn, OTHER_END: naming.eos}
        id = tokenizer.token_to_id(names.get(name) or in_bytes(name))
        assert id is not None
        return int(id)

    rows = {name: {of(after): share for after, share in row.items()} for name, row in TRANSITIONS.items()}
    before = {last(text) for text in _BEFORE_ANSWERS}
    table: dict[int, Mapping[int, float]] = dict.fromkeys(before, rows[START])
    table[last(_AFTER_OUTPUT)] = rows[OBSERVED]
    return table | {of(name): row for name, row in rows.items() if name not in (START, OBSERVED)}
