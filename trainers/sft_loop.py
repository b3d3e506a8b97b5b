"""The loop of round 0: batches of sequences, text inside speech, held-out loss, LoRA and sharding."""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from factory.recipe.training import UNEVEN, SftConfig
from trainers.batches import Batch, Batches
from trainers.errors import TrainingError
from trainers.interleave import Interleaver
from trainers.job import LocalJob
from trainers.launch import pulse
from trainers.loop import Line, LoopSettings, TrainingLoop
from trainers.sft_network import CompletionLoss, add_lora, can_compile, train_tables
from trainers.workers import device, distribute, full_state, rank, sum_over_workers, world_size


class Summary(Line):
    """The content of training.json: the last line of the curve, and what was trained with what.

    With `sft.interleave`, `words` and `text_share` are those of the whole training.
    """

    settings: dict[str, object]
    seed: int
    sequences: int
    too_long: int
    without_words: int | None
    """Sequences with speech that stays units, because its words are not known; None without `sft.interleave`."""


class SftLoop(TrainingLoop[Batch]):
    """The supervised training of round 0 in one worker."""

    title = "sft"

    def __init__(self, job: LocalJob[SftConfig]) -> None:
        """Load the policy and the data, and plan all batches; raises TrainingError where they do not fit together."""
        self.job, self.config, config = job, job.config, job.config
        pulse(job.work, "loading the policy and the sequences")
        torch.set_num_threads(config.threads or 1)
        network = self._load_policy()
        longest = config.max_length or self.model.config.max_position_embeddings
        self.data = Batches(job.inputs["data"], self.tokenizer, longest, with_words=config.interleave is not None)
        self.interleaver = (
            Interleaver(config.interleave, self.data.sequences, self.tokenizer, job.seed) if config.interleave else None
        )
        self.dev = Batches(job.inputs["dev"], self.tokenizer, longest) if "dev" in job.inputs else None
        batches_per_step = _count_batches_per_step(config)
        self.plan, self.epochs = self._plan(batches_per_step)
        settings = LoopSettings(config.lr, config.warmup, config.weight_decay, config.save_every, config.log_every)
        steps = len(self.plan) // batches_per_step
        weights = self.model.parameters()
        super().__init__(job.work, settings, network, weights, steps=steps, batches_per_step=batches_per_step)
        if self.interleaver and rank() == 0:
            print(f"  sft {self.interleaver.describe(self.steps)}", flush=True)

    def compute_loss(self, batch: Batch) -> tuple[Tensor, int]:
        """Return the loss on the completions of a batch."""
        loss, count = self.network(*(part.to(self.device) for part in batch))
        return loss, count

    def count_tokens(self, batch: Batch) -> int:
        """Return the tokens of a batch, padding included."""
        return batch.ids.numel()

    def complete_line(self, line: Line, with_dev: bool) -> None:
        """Add the held-out loss and the share of text."""
        if with_dev and self.dev:
            line["dev_loss"] = self.dev_loss()
        if self.interleaver:
            words, text_words = sum_over_workers(self.interleaver.take_counts(), self.device)
            line["words"], line["text_share"] = int(words), round(text_words / max(1, words), 4)

    @torch.no_grad()
    def dev_loss(self) -> float | None:
        """Return the loss on held-out data in nats per token; None without held-out data."""
        if self.dev is None:
            return None
        network = self.network.module if isinstance(self.network, DistributedDataParallel) else self.network
        plan = self.dev.plan(self.config.tokens, 0)
        sums = [network(*(part.to(self.device) for part in self.dev.batch(indices))) for indices in plan]
        return round(sum(float(loss) for loss, _ in sums) / sum(int(count) for _, count in sums), 4)

    def trained_policy(self) -> PreTrainedModel:
        """Return the policy with LoRA merged, after the training. All workers call this, the first gets it whole."""
        if self.adapted:
            return self.adapted.merge_and_unload()
        if not self.config.sharded:
            return self.model
        weights = full_state(self.network, self.optimizer)["model"]
        whole = _load_model(self.job)
        if rank() == 0:
            whole.load_state_dict({name.removeprefix("model."): weight for name, weight in weights.items()})
        return whole

    def _load_policy(self) -> nn.Module:
        """Load the policy and its tokenizer; return what is trained, as this worker holds it."""
        config, where = self.config, device()
        self.tokenizer = AutoTokenizer.from_pretrained(self.job.inputs["start"])
        self.model = _load_model(self.job)
        cast(nn.Module, self.model).to(where)
        self.adapted = add_lora(self.model, config.rank, self.job.seed) if config.rank else None
        if self.adapted:
            train_tables(self.model)
        if config.checkpointing:
            self.model.train().gradient_checkpointing_enable({"use_reentrant": False})
        compiled = config.compile and not config.sharded and can_compile(where)
        loss = CompletionLoss(self.model, config.precision == "bf16", compiled)
        return distribute(loss, self.model.model.layers, config.sharded)

    def _plan(self, batches_per_step: int) -> tuple[list[list[int]], list[int]]:
        """Return the batches of all epochs, and the epoch of each; raises TrainingError for less than one step."""
        config, seed = self.config, self.job.seed
        plan, numbers = [], []
        for epoch in range(config.epochs):
            batches = self.data.plan(config.tokens, seed, epoch, config.weights)
            plan += batches
            numbers += [epoch] * len(batches)
        if len(plan) < batches_per_step:
            raise TrainingError(
                f"a step needs {batches_per_step} batches (sft.batches), but all epochs together have {len(plan)} "
                f"of {config.tokens} tokens (sft.tokens): lower sft.batches or sft.tokens, or give more sequences"
            )
        return plan, numbers

    def next_batches(self) -> list[Batch]:
        """Return the batches of this worker for the next step; those of all workers depend on seed and step alone."""
        first = self.step * self.batches_per_step
        numbers = range(first + rank(), first + self.batches_per_step, world_size())
        return [self._batch(number) for number in numbers]

    def _batch(self, number: int) -> Batch:
        """Return the batch of this number as the next step has it."""
        arguments = self.plan[number], self.config.unit_noise, (self.job.seed, number)
        if self.interleaver is None:
            return self.data.batch(*arguments)
        share = self.interleaver.config.share(self.step)
        return self.data.batch(*arguments, partial(self.interleaver.write, share=share, epoch=self.epochs[number]))


def _load_model(job: LocalJob[SftConfig]) -> PreTrainedModel:
    return cast(PreTrainedModel, AutoModelForCausalLM.from_pretrained(job.inputs["start"], dtype=torch.float32))


def _count_batches_per_step(config: SftConfig) -> int:
    """Return the batches of a step over all workers; raises TrainingError where they cannot be shared."""
    batches = config.batches or world_size()
    if batches < world_size():
        raise TrainingError(
            f"sft.batches is {batches}, but each of the {world_size()} workers (resources.trainer.actors) needs one: "
            "raise sft.batches, or lower resources.trainer.actors"
        )
    if config.sharded and batches % world_size():
        raise TrainingError(f"{UNEVEN}; got {batches} and {world_size()}")
    return batches
