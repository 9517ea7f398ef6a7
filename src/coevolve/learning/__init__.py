"""From rewards to a loss: advantages, per-token weights, objectives."""
