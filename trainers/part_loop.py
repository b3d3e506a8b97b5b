"""The loop of one stage: which weights learn, LoRA on the language model, and the batches of the stage's tasks."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from factory.models.speech_lm import SpeechLM, Spoken
from factory.recipe.part import StageConfig, StageTraining
from trainers.errors import TrainingError
from trainers.job import LocalJob
from trainers.launch import pulse
from trainers.loop import Line, LoopSettings, TrainingLoop
from trainers.part_data import SpokenBatches
from trainers.sft_network import Adapted, add_lora
from trainers.workers import device, distribute, rank, world_size

_SHOWN = 3


class Summary(Line):
    """The content of training.json: the last line of the last stage's curve, and what was trained with what."""

    settings: dict[str, object]
    seed: int
    sequences: int
    left_out: dict[str, int]
    """Sequences that were left out, by reason."""
    trained: int
    """Weights that learned."""
    weights: int
    """All weights."""


class StageLoop(TrainingLoop[list[Spoken]]):
    """One stage of a training in one worker."""

    title = "part"

    def __init__(self, job: LocalJob[StageTraining]) -> None:
        """Load the policy of the stage before and the data; raises TrainingError where they do not fit the stage."""
        self.job, self.config = job, job.config
        self.stage = stage = job.config.stage
        pulse(job.work, f"stage {stage.name}: loading the policy and the recordings")
        torch.set_num_threads(job.config.threads or 1)
        self.model = SpeechLM.from_pretrained(job.inputs["start"]).to(device())
        self.adapted = prepare_weights(self.model, stage, job.seed)
        self.trained = sum(weight.numel() for weight in self.model.parameters() if weight.requires_grad)
        longest = self.model.llm.config.get_text_config().max_position_embeddings
        self.data = SpokenBatches(job.inputs["data"], self.model, longest)
        self.plan = self._plan()
        config = job.config
        settings = LoopSettings(stage.lr, config.warmup, config.weight_decay, config.save_every, config.log_every)
        network = distribute(self.model, find_unused=True)  # a batch of texts does not use the encoder
        steps = min(stage.steps or len(self.plan), len(self.plan) // world_size())
        weights = self.model.parameters()
        super().__init__(job.work, settings, network, weights, steps=steps, batches_per_step=world_size())
        if rank() == 0:
            left_out = f"; left out: {dict(self.data.left_out)}" if self.data.left_out else ""
            count = f"{self.trained:,} of {sum(weight.numel() for weight in self.model.parameters()):,} weights"
            print(f"  part stage {stage.name} trains {count} in {self.steps:,} steps{left_out}", flush=True)

    def next_batches(self) -> list[list[Spoken]]:
        """Return the batch of this worker for the next step."""
        return [self.data.batch(self.plan[self.step * world_size() + rank()], self.device)]

    def compute_loss(self, batch: list[Spoken]) -> tuple[Tensor, int]:
        """Return the loss on the completions of a batch."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            loss, count = self.network(batch)
        return loss, count

    def count_tokens(self, batch: list[Spoken]) -> int:
        """Return the learned tokens of a batch."""
        return sum(len(row.completion) for row in batch)

    def merge(self) -> None:
        """Merge LoRA into the language model, after the last step."""
        if self.adapted:
            self.model.llm = self.adapted.merge_and_unload()

    def _plan(self) -> list[list[int]]:
        stage, seed = self.stage, self.job.seed
        plan: list[list[int]] = []
        for epoch in range(stage.epochs):
            plan += self.data.plan(self.config.tokens, seed, epoch, stage.tasks)
        if len(plan) < world_size():
            raise TrainingError(
                f"stage {stage.name} has {len(plan)} batches for {world_size()} workers: its tasks "
                f"({', '.join(stage.tasks)}) need sequences; the data has {_count_tasks(self.data)}"
            )
        return plan


def prepare_weights(model: SpeechLM, stage: StageConfig, seed: int) -> Adapted | None:
    """Let the weights of a stage learn, and no others; return peft's view of the language model, if it gets LoRA.

    Raises:
        TrainingError: a pattern matches no weight.
    """
    check_patterns(model, stage)
    model.requires_grad_(False)
    adapted = add_lora(model.llm, stage.lora, seed) if stage.lora else None
    for name, weight in model.named_parameters():
        base = name.replace(".base_layer.", ".")  # peft wraps the layers that get LoRA
        weight.requires_grad_(weight.requires_grad or matches(base, stage.train))
    return adapted


def check_patterns(model: SpeechLM, stage: StageConfig) -> None:
    """Raise TrainingError if a pattern of a stage matches no weight."""
    names = [name for name, _ in model.named_parameters()]
    for pattern in stage.train:
        if not any(matches(name, [pattern]) for name in names):
            near = difflib.get_close_matches(pattern, names, _SHOWN, cutoff=0.3) or names[:_SHOWN]
            raise TrainingError(
                f"stage {stage.name}: no weight is called {pattern} (part.stages, train); near it are {', '.join(near)}"
            )


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Return True if one of the patterns matches the name of a weight."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _count_tasks(data: SpokenBatches) -> str:
    tasks = [example.task for example in data.examples]
    return ", ".join(f"{tasks.count(task):,} of {task}" for task in sorted(set(tasks)))
