"""Tasks of the miniature's kind and answers to them, drawn from a seed, without any model."""

from __future__ import annotations

import random
from functools import cache

import numpy as np
from tokenizers import Tokenizer

from coevolve.types import StopReason, ToolCall, Trajectory
from coevolve.worlds.miniature.learner import MiniatureWorld

HOSTILE = "</script><script>document.title='broken'</script><img src=x onerror=alert(1)> & \u2028"


def chain(draw: random.Random, steps: int) -> tuple[list[str], list[int], str]:
    """Expressions, values and the wording of a chain of operations."""
    first, second = draw.randint(12, 99), draw.randint(12, 99)
    expressions, values = [f"{first} * {second}"], [first * second]
    sentences = [f"Let a = {first} * {second}."]
    for name, before in zip("bcdef"[: steps - 1], "abcde", strict=False):
        modulus = draw.randint(7, 97)
        expressions.append(f"{values[-1]} % {modulus} + {modulus * 3}")
        values.append(values[-1] % modulus + modulus * 3)
        sentences.append(f"Let {name} = the remainder of {before} divided by {modulus}, plus {modulus * 3}.")
    return expressions, values, " ".join([*sentences, f"Find {'abcdef'[steps - 1]}."])


def trajectory(
    draw: random.Random,
    task_id: str,
    sample: int,
    expressions: list[str],
    values: list[int],
    skill: float,
    hostile: bool,
) -> Trajectory:
    text, calls, answer = HOSTILE if hostile else "", [], ""
    for name, expression, value in zip("abcdef", expressions, values, strict=False):
        answer = str(value if draw.random() < skill else draw.choice([value + 1, value // 10 + 1, value * 2]))
        if draw.random() < 0.75:
            status = "ok" if draw.random() < 0.95 else "error"
            shown = answer if status == "ok" else "NameError: name 'x' is not defined"
            call = ToolCall(code=f"print({expression})", observation=shown, status=status)
            calls.append(call)
            text += f"```python\n{call.code}\n```\n```output\n{call.observation}\n```\n"
        else:
            text += f"{name} = {answer}. "
    ended = draw.random() < 0.93
    text += f"\\boxed{{{answer}}}" if ended else ""
    tokens, mask = _tokens(text, ended)
    return Trajectory(
        task_id=task_id,
        sample=sample,
        prompt=np.arange(4, dtype=np.int32),
        tokens=tokens,
        mask=mask,
        logprobs=np.where(mask, [-draw.expovariate(4) for _ in tokens], 0).astype(np.float32),
        text=text,
        tool_calls=tuple(calls),
        answer=answer if ended else None,
        stop=StopReason.EOS if ended else StopReason.LENGTH,
        policy="solver",
        policy_versions=(12,),
        contract="9f2c41d0",
    )


@cache
def _tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(MiniatureWorld().base_model() / "tokenizer.json"))


def _tokens(text: str, ended: bool) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of the text, closed by the one that ends a turn, and a mask that leaves out what the tool wrote.

    A text with words that the miniature tokenizer does not know gets tokens that do not belong to it.
    """
    ids, inside, mask = _tokenizer().encode(text, add_special_tokens=False).ids, False, []
    opening, closing = (_tokenizer().token_to_id(fence) for fence in ("```output\n", "\n```\n"))
    for token in ids:
        mask.append(not inside)
        inside = (inside or token == opening) and token != closing
    end = [_tokenizer().token_to_id("<|endoftext|>")] if ended else []
    return np.array([*ids, *end], dtype=np.int32), np.array([*mask, *(True for _ in end)], dtype=np.bool_)
