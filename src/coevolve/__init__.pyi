from coevolve.api.answers import Grade as Grade
from coevolve.api.answers import Sandbox as Sandbox
from coevolve.api.answers import grade as grade
from coevolve.api.evaluating import evaluate as evaluate
from coevolve.api.rows import Rows as Rows
from coevolve.api.running import run as run
from coevolve.api.stored import Run as Run
from coevolve.api.stored import load as load

__version__: str
