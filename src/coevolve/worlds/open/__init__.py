"""The open world: any question in words, for any language model. It has no truth: no part of it knows the answers."""
