"""The miniature world: chains of integer operations in words, small enough for two CPU cores."""
