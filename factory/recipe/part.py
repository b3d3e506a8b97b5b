"""The section of a training in stages: a policy that hears continuous speech (PART, arXiv 2509.19745)."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from factory.recipe.training import Precision
from factory.recipe.typed import choose, require

TASKS = ("asr", "s2t", "mt")
"""The tasks of a policy that hears speech and writes text."""


@dataclass(frozen=True)
class StageConfig:
    """One stage: which weights learn which tasks. Each stage starts from the policy of the one before."""

    # the name of the stage, which is that of its folder
    name: str
    # patterns of the names of weights that learn, with * and ?; names begin with encoder., adapter. or llm.
    train: tuple[str, ...]
    # task (asr, s2t, mt): how often an epoch uses each of its sequences
    tasks: dict[str, float] = field(default_factory=lambda: {"asr": 1.0})
    # peak learning rate
    lr: float = 1e-3
    # passes over the data
    epochs: int = 1
    # steps at most; null: all of the epochs
    steps: int | None = None
    # rank of LoRA on every linear layer of the language model, merged at the end of the stage; null: none
    lora: int | None = None

    def __post_init__(self) -> None:
        where = f"part.stages, stage {self.name}"
        require(self.name and "/" not in self.name, "part.stages: a stage needs a name without a slash", self.name)
        require(self.train or self.lora, f"{where}: train must hold a pattern, or lora a rank", "neither")
        for task, weight in self.tasks.items():
            choose(task, TASKS, f"{where}: a task")
            require(weight >= 0, f"{where}: the weight of {task} must not be negative", weight)
        require(any(self.tasks.values()), f"{where}: tasks must hold a task with a weight above 0", self.tasks)
        require(self.lr > 0, f"{where}: lr must be above 0", self.lr)
        require(self.epochs >= 1, f"{where}: epochs must be 1 or more", self.epochs)
        require(self.steps is None or self.steps >= 1, f"{where}: steps must be 1 or more, or null", self.steps)
        require(self.lora is None or self.lora >= 1, f"{where}: lora must be a rank of 1 or more, or null", self.lora)


@dataclass(frozen=True)
class PartConfig:
    """The training of a policy that hears continuous speech."""

    # the stages, in their order
    stages: tuple[StageConfig, ...] = ()
    # transformer layers of the adapter; two in the paper
    layers: int = 2
    # frames of the encoder per embedding. Open in the paper: 4 gives 12.5 embeddings per second, about as many as there
    # are tokens of text
    stride: int = 4
    # embeddings and tokens of a batch, padding included
    tokens: int = 2_560
    # share of the steps of a stage, 0..1
    warmup: float = 0.03
    # AdamW's weight decay
    weight_decay: float = 0.01
    # number format of the network's products (weights are fp32); auto: bf16 where the machine has units for it
    precision: Precision = "auto"
    # steps between checkpoints
    save_every: int = 200
    # steps between points of the learning curve
    log_every: int = 20
    # threads of the math libraries; 0: resources.trainer.threads
    threads: int = 0

    def __post_init__(self) -> None:
        for name in ("layers", "stride", "tokens", "save_every", "log_every"):
            require(getattr(self, name) >= 1, f"part.{name} must be 1 or more", getattr(self, name))
        names = [stage.name for stage in self.stages]
        require(len(set(names)) == len(names), "part.stages must have different names", ", ".join(names))


@dataclass(frozen=True)
class StageTraining:
    """What one stage depends on: its own settings, and those of the section."""

    stage: StageConfig
    tokens: int
    warmup: float
    weight_decay: float
    precision: Precision
    save_every: int
    log_every: int
    threads: int

    @classmethod
    def of(cls, part: PartConfig, stage: StageConfig) -> StageTraining:
        """Join the settings of the section and of one of its stages."""
        shared = (field.name for field in fields(cls) if field.name != "stage")
        return cls(stage=stage, **{name: getattr(part, name) for name in shared})
