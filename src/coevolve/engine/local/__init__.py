"""The engine in this process: torch and transformers, on CPU or one GPU."""
