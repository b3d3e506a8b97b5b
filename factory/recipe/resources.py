"""The sections of a recipe that change no result: processes, memory and GPUs, and what a dry run assumes."""

from __future__ import annotations

from dataclasses import dataclass

from factory.models.device import WantedDtype
from factory.recipe.typed import require
from factory.runtime.watch import ACCELERATOR_PREFIX


@dataclass(frozen=True)
class PoolConfig:
    """The processes of one stage. They change its speed, not its meaning.

    Only the candidates that are sampled depend on the batch: its ids are part of the seed. On a GPU 1 unit of 10,000
    may depend on it too, because an encoder pads utterances to a common length.
    """

    # processes (trainer: workers that learn together, on Ray Train if there are several)
    actors: int = 1
    # a pool with waiting work grows to this size where there is room (trainer: in round 0 only); null: it does not grow
    max_actors: int | None = None
    # cores that Ray reserves per process
    num_cpus: float = 1.0
    # GPUs that Ray reserves per process (trainer: 0 or 1)
    num_gpus: float = 0.0
    # memory (GiB) that Ray reserves per process; 0: none
    memory_gib: float = 0.0
    # the type of GPU, by Ray's name (H100, A100, L4 ...); null: any
    accelerator: str | None = None
    # rows per call
    batch_size: int = 32
    # threads of the math libraries per process
    threads: int = 1
    # seconds (of CPU time where the process computes) that one row may take; n rows of a batch may take 1 + (n - 1) /
    # 32 times as long
    row_timeout_s: float = 120.0

    @property
    def needs(self) -> dict[str, float]:
        """Return the resources of one process by Ray's names, memory in bytes."""
        needs = {"CPU": self.num_cpus, "GPU": self.num_gpus, "memory": self.memory_gib * 2**30}
        # Ray gives each node 1 of the resource that names its GPU type; a thousandth never runs out
        return needs | ({f"{ACCELERATOR_PREFIX}{self.accelerator}": 0.001} if self.accelerator else {})

    def check(self, key: str) -> None:
        """Raise RecipeError where the pool at `key` of the recipe cannot exist."""
        require(self.actors >= 1, f"{key}.actors must be 1 or more", self.actors)
        most = f"{key}.max_actors must be {key}.actors ({self.actors}) or more, or null"
        require(self.max_actors is None or self.max_actors >= self.actors, most, self.max_actors)
        on_gpu = f"{key}.accelerator is a type of GPU and needs {key}.num_gpus"
        require(not self.accelerator or self.num_gpus > 0, on_gpu, self.num_gpus)


@dataclass(frozen=True)
class ResourcesConfig:
    """The pools of all stages, and the other settings that change only speed."""

    # tokenize
    encoder: PoolConfig = PoolConfig()
    # align: words of paired speech
    aligner: PoolConfig = PoolConfig()
    # produce and evaluate: the policy
    translator: PoolConfig = PoolConfig(batch_size=256)
    # produce: speech of back-translations
    vocoder: PoolConfig = PoolConfig()
    # evaluate and toplines: transcripts
    recognizer: PoolConfig = PoolConfig(batch_size=16)
    # produce: metrics
    scorer: PoolConfig = PoolConfig()
    # train: the workers of a training
    trainer: PoolConfig = PoolConfig(num_cpus=2, threads=2)
    # seconds without a new row or training step after which a stage ends with an error
    stall_s: float = 1800.0
    # number format of the translators; auto: bfloat16 where the CPU or GPU has units for it, else float32. As with
    # another batch size, other candidates are sampled, from the same distribution up to rounding
    dtype: WantedDtype = "auto"
    # memory (GiB) of a translator's KV cache on a CPU
    kv_cache_gib: int = 1

    def __post_init__(self) -> None:
        for name, pool in vars(self).items():
            if isinstance(pool, PoolConfig):
                pool.check(f"resources.{name}")
        one_gpu = "resources.trainer.num_gpus must be 0 or 1, because a worker trains on one GPU: for more GPUs raise "
        require(self.trainer.num_gpus in (0, 1), one_gpu + "resources.trainer.actors", self.trainer.num_gpus)


@dataclass(frozen=True)
class ExpectedConfig:
    """What a dry run assumes about corpora and models that are not here yet, and about the GPU. Changes no result."""

    # rows that round 0 trains on, all directions
    paired: int | None = None
    # utterances of all languages
    mono: int | None = None
    # seconds of speech per utterance
    seconds: float = 3.0
    # units per second; 50 without deduplication
    units_per_s: float = 24.0
    # parameters of the policy; null: computed from its shape
    parameters: float | None = None
    # parameters of the encoder that a policy of continuous speech hears by
    encoder_parameters: float | None = None
    # memory of one GPU, GiB
    gpu_gib: float = 80.0
    # bf16 peak of one GPU, TFLOPS (H100 SXM)
    gpu_tflops: float = 990.0
    # share of the peak that training reaches, 0..1
    utilisation: float = 0.35
