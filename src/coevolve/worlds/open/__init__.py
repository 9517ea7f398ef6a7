"""The open world: any question in words, any language model. It has no truth: nobody here knows the answers."""
