"""Answers: finding the final one in a text, and deciding which answers are the same."""
