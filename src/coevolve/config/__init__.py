"""The configuration of a run: strict, frozen, and the only place where a default is written down.

A preset (``coevolve/presets``) overrides these defaults, a file overrides the preset, and ``--set key=value``
overrides both.
Every field says what it is; ``coevolve config SECTION`` prints these sentences.
"""

from coevolve.config.acting import DialogueSection, SamplingSection, SandboxSection, ToolSection, WorldSettings
from coevolve.config.measuring import EvaluationSection, GradingSection, HealthSection
from coevolve.config.resources import (
    EngineSection,
    LoraSection,
    ModelSection,
    RunSection,
    TinkerSection,
    Tracker,
    TrackSection,
    VllmSection,
)
from coevolve.config.root import Config
from coevolve.config.section import OptimizerSection, Section, TrainingSection, Voter, at_iteration

__all__ = [
    "Config",
    "DialogueSection",
    "EngineSection",
    "EvaluationSection",
    "GradingSection",
    "HealthSection",
    "LoraSection",
    "ModelSection",
    "OptimizerSection",
    "RunSection",
    "SamplingSection",
    "SandboxSection",
    "Section",
    "TinkerSection",
    "ToolSection",
    "TrackSection",
    "Tracker",
    "TrainingSection",
    "VllmSection",
    "Voter",
    "WorldSettings",
    "at_iteration",
]
