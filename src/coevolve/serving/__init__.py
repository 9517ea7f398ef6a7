"""``coevolve serve``: a run or a model with its tool behind an OpenAI-compatible endpoint."""
