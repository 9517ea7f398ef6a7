"""The learner's view of the miniature world: prompts, grammar and the base model, but no answers."""

from __future__ import annotations

from pathlib import Path

from coevolve.errors import ModelError
from coevolve.worlds.miniature import grammar, reserved
from coevolve.worlds.miniature.contract import MiniatureContract

ASSETS = Path(__file__).parent / "assets"
BASES = {  # other base models, by their names in model.path
    "miniature-dialogues": ASSETS.with_name("assets_dialogues"),
    "miniature-early": ASSETS.with_name("assets_early"),
}


class MiniatureWorld:
    """Chains of integer operations in words. Implements ``coevolve.worlds.base.World``."""

    name = "miniature"

    def __init__(self, model: Path | None = None) -> None:
        """
        Args:
            model: folder of another base model than the embedded one.
        """
        self.contract = MiniatureContract()
        self._model = model

    def base_model(self) -> Path:
        """The folder shipped with the package, or the one given. Raises ModelError when shipped files are missing."""
        folder = self._model or ASSETS
        if folder not in (ASSETS, *BASES.values()):
            return folder
        missing = [
            name for name in ("config.json", "model.safetensors", "tokenizer.json") if not (folder / name).exists()
        ]
        if missing:
            raise ModelError(
                f"The miniature base model lacks {', '.join(missing)}.",
                where=str(folder),
                fix="install the package again, or build the model with `coevolve world build --out DIR` "
                "and set model.path=DIR",
            )
        return folder

    def is_well_formed(self, question: str) -> bool:
        """Whether the question is complete and bounded."""
        return grammar.is_well_formed(question)

    def is_reserved(self, question: str) -> bool:
        """Whether the question belongs to the meter."""
        return reserved.is_reserved(question)

    def user_turns(self, question: str, most: int) -> tuple[str, ...]:
        """The chain as a dialogue: one step in each follow-up."""
        return grammar.user_turns(question, most)

    def describe(self, question: str) -> dict[str, int | str]:
        """``steps`` and ``topic`` (the last operation); 0 and "malformed" when there is no parse."""
        used = grammar.operations_used(question)
        return {"steps": len(used), "topic": used[-1] if used else "malformed"}
