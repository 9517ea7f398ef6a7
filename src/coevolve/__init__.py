"""Language models that teach themselves to reason with tools, from no data.

Start with :mod:`coevolve.types` (the vocabulary) and :mod:`coevolve.methods.agent0` (the main method).
"""

__version__ = "0.2.0"
