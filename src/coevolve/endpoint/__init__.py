"""Asking a model behind an OpenAI-compatible URL: one client, for benchmarks and for teachers."""
