"""What a problem is worth to a generator of problems, by how often the solver gets it right."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def gaussian_utility(success: ArrayLike, *, peak: float = 0.5, width: float = 0.2) -> NDArray[np.float64]:
    """U = exp(-(s - peak)^2 / (2 width^2)): 1 at the peak, near 0 for what is always or never solved.

    Source: Socratic-Zero (arXiv 2509.24726), utility of a generated problem.

    Args:
        success: share of right answers, any shape, in [0, 1].
        peak: the success rate that is worth most.
        width: standard deviation, above 0.

    Returns:
        Same shape, in (0, 1].
    """
    return np.exp(-((np.asarray(success, dtype=np.float64) - peak) ** 2) / (2.0 * width**2))
