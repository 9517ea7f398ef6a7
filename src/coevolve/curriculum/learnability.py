"""The rewards of Absolute Zero, as pure functions of what the sandbox said."""

from __future__ import annotations


def r_propose(solved: float, *, unlearnable: float = 0.0) -> float:
    """The reward of a valid task: 1 - the share of its answers that are right; tasks that all answers solve, or none,
    teach nothing.

    Source: Absolute Zero (arXiv 2505.03335), equation 4. The published code gives -0.5 for what is unlearnable.

    Args:
        solved: in [0, 1].
        unlearnable: the reward at 0 and 1.
    """
    return 1.0 - solved if 0.0 < solved < 1.0 else unlearnable


def r_solve(*, well_formed: bool, right: bool, wrong: float = -0.5, ill_formed: float = -1.0) -> float:
    """The reward of an answer: 1 if it is right, ``wrong`` if it has the required form, else ``ill_formed``.

    Source: Absolute Zero (arXiv 2505.03335), equations 5 and 6.
    """
    if not well_formed:
        return ill_formed
    return 1.0 if right else wrong
