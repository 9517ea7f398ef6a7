"""The sampler over vLLM's engine. Nothing here imports vLLM before an engine is wanted."""
