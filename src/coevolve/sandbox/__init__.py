"""Running model-written Python safely: see :class:`coevolve.sandbox.pool.SandboxPool`."""
