"""True answers to those questions in words that a grammar can read; for meters only."""
