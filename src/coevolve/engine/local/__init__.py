"""The engine in this process: torch and transformers, on CPU or one GPU."""

import logging

# On CPU it asks for kernels of another kind when it is imported, which peft does wherever it is installed.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
