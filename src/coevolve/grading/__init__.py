"""Answers: where the last one stands in a text, and which answers are the same."""
