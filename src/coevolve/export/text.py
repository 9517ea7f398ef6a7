"""What the cards say that no number says."""

from __future__ import annotations

from coevolve.types import PROPOSER, SOLVER

USES: dict[str, str] = {
    SOLVER: "this one, the *executor*, answers questions and calls a Python tool on the way. Its labels were the "
    "majority votes of its own answers.",
    PROPOSER: "this one, the *curriculum agent*, writes questions at the edge of what the executor can do, and "
    "such as need the tool.",
    f"after {SOLVER}": "It pauses where the output of its code belongs. Run the Python block in a sandbox "
    "(never in a process of yours), append what it printed and a line of three backticks, and generate on; the answer "
    "stands in `\\boxed{}`. `coevolve solve RUN QUESTION` does all of this.",
    f"after {PROPOSER}": "A question ends at its closing tag. Many are too easy, too hard or malformed: a vote of "
    "the executor and a gate decide what is worth training on.",
}

ON_BASE = (
    "The folder holds an adapter: LoRA matrices that are added to those of the base model, which is needed too. "
    "`coevolve export RUN --to DIR --merge` writes both as one model."
)

LIMITS: dict[str, tuple[str, ...]] = {
    SOLVER: (
        "It was trained on its own majority votes, not on true answers: what most of its answers get wrong alike, it "
        "has learned wrong.",
        "The numbers are of the world that it was trained in, on problems kept apart for measuring. They say nothing "
        "of other tasks.",
        "It writes code and expects it to be run: use a sandbox without network and with limits.",
        "Nobody has tested it for safety, bias or facts; it is for research.",
    ),
    PROPOSER: (
        "It was rewarded for questions that are uncertain for one particular executor, not for good or true ones.",
        "It imitates the texts of its base model; nothing keeps it from writing nonsense or repeating itself.",
        "Nobody has tested it for safety, bias or facts; it is for research.",
    ),
}

CONFIGS: dict[tuple[str, str], str] = {
    (
        "tasks",
        "train",
    ): "a text that the curriculum agent wrote, with the executor's vote on it and the gate's word",
    ("trajectories", "train"): "an answer of the executor to a task of a pool, token by token",
    ("trajectories", "test"): "an answer to a held-out or transfer problem; for measuring, do not train on these",
    ("meter", "pool"): "a task that was voted on, with its true answer and whether the majority found it",
    ("meter_evaluation", "test"): "a held-out or transfer problem with its true answer; do not train on these",
    ("labels", ""): "**What is pseudo-labelled:** `label` in `tasks` is the majority vote of the executor's answers, "
    "`p_hat` its share, and both can be wrong; `proposed_answer` is what the curriculum agent claimed. No true answer "
    "took part in the training. True answers are known for measuring only, stand in `meter` and `meter_evaluation` "
    "alone, and are joined by `iteration` and `task_id`.",
}

COLUMNS: dict[str, str] = {
    "iteration": "iteration of the run; 0 measures the base model",
    "task_id": "name of the task, unique in its iteration",
    "question": "the text of the task",
    "steps": "operations in it; 0 when it is malformed",
    "topic": "the last operation",
    "well_formed": "whether the world's grammar can read it",
    "duplicate": "whether this pool or an earlier one has it already",
    "reserved": "whether it belongs to the part that is kept for measuring",
    "proposed_answer": "what the curriculum agent claimed, if anything; never used as a label",
    "p_hat": "share of the largest class of answers",
    "label": "pseudo-label: the answer of that class",
    "counts": "all classes of answers with their votes",
    "forms": "the spellings that count as one answer, by class",
    "valid": "answers that hold an answer",
    "k": "answers in all",
    "tied": "whether another class is as large",
    "kept": "whether the executor was trained on it",
    "reason": "why, or why not",
    "tool_calls": "mean number of tool calls; in `trajectories`: the calls, each with code, output shown, and status",
    "phase": "phase of the run that made it",
    "set": "which problems: pool, a level, or a transfer set",
    "sample": "number of the answer among those to the same question",
    "policy": "which weights wrote it",
    "policy_versions": "how often the sampler's weights had changed before, once for each change on the way",
    "policy_version": "in older runs: how often the sampler's weights had changed before",
    "contract": "hash of prompt format, limits and sampling",
    "agent": "id of the agent that wrote it",
    "seat": "its place in an episode of several seats, from 0",
    "reward": "what the environment paid, where it pays",
    "text": "everything after the prompt; tool output stands in output blocks",
    "answer": "content of the last box; null when there is none",
    "stop": "why it ended: eos, length, turns, protocol (a forged output block), infrastructure (sandbox lost)",
    "prompt": "token ids of the prompt",
    "tokens": "token ids after the prompt",
    "mask": "true where the policy sampled the token, false in tool output",
    "logprobs": "log-probability that each token was sampled with; 0 where mask is false",
    "truth": "the true answer",
    "label_right": "whether the pseudo-label is true",
    "samples_right": "right answers",
    "majority": "the answer with most votes",
    "majority_right": "whether that is true",
    "greedy_right": "whether the greedy answer is true",
}
