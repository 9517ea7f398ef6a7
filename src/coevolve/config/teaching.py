"""Keys of a teacher: another model, behind an OpenAI-compatible URL, that a method asks while it trains."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from coevolve.config.section import Section

OFFLINE = "offline"


class TeacherSection(Section):
    """Who the teacher is, how it is asked and what it may cost."""

    endpoint: str = Field(
        OFFLINE,
        min_length=1,
        description="URL of an OpenAI-compatible server; offline: the world's own teacher, a process beside the run",
    )
    model: str = Field("teacher", min_length=1, description="the teacher's name at the endpoint")
    api_key_env: str | None = Field(
        None, description="environment variable that holds the key of the endpoint; the key is neither stored nor shown"
    )
    temperature: float = Field(0.7, ge=0, description="temperature of its problems; its verdicts are greedy")
    max_tokens: int = Field(2048, ge=16, description="tokens of one reply")
    timeout_s: float = Field(300.0, gt=0, description="seconds within which the endpoint must reply")
    retries: int = Field(3, ge=0, description="further attempts after a request that failed")
    concurrency: int = Field(32, ge=1, description="requests in flight at most")
    usd_per_million_read: float = Field(0.0, ge=0, description="price of a million tokens of prompts")
    usd_per_million_written: float = Field(0.0, ge=0, description="price of a million tokens of replies")
    budget_usd: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="what one start of the run may spend, after which it stops; coevolve resume may spend it again",
    )
    budget_tokens: Annotated[int, Field(ge=1)] | None = Field(
        None, description="tokens, read and written, that one start of the run may spend; likewise"
    )

    @model_validator(mode="after")
    def _counts(self) -> Self:
        if self.budget_usd is not None and not (self.usd_per_million_read or self.usd_per_million_written):
            raise ValueError("teacher.budget_usd needs prices: teacher.usd_per_million_read and _written are 0")
        return self
