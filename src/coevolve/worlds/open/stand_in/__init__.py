"""A random model that stands in for a real one: the sizes and tokens of its family, and texts that use the protocol."""
