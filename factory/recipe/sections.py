"""The sections of a recipe: every key with its default, its unit, and the reason for it where the papers leave the choice open.

What stands outside of sections (`name`, `seed`, `languages`, `vocoder`) is in `factory.recipe.recipe`.

The defaults are those of the embedded world (French and English phrases, two cores).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from factory.models.device import WantedDtype
from factory.runtime.watch import MARK
from schemas.sequences import Variant


@dataclass(frozen=True)
class CorpusConfig:
    """The speech, on a disk or in an object store (`s3://`, `gs://`), as `factory.corpora.opening.open_corpus` takes it.

    Any of these may hold PAIRED rows instead: speech that is units already. The speech of `paired` and `dev` has the ids `NAME/LANG`.
    """

    mono: str = "assets/phrasebook/mono"  # untranslated speech of every language, what pairs are made of
    test: str = "assets/phrasebook/test"  # speech with its text and a reference: what a round is evaluated on
    paired: str = "assets/phrasebook/paired.parquet"  # speech with its spoken translation: what round 0 trains on
    text: str | None = None  # PAIRED rows without units: parallel text, for the task mt of round 0
    dev: str = "assets/phrasebook/dev.parquet"  # as `paired`: the held-out loss of round 0
    source: Literal["mono", "paired", "both"] = (
        "mono"  # what pairs are made of; open: the paper shows each, mono needs no translations
    )
    limit: int | None = None  # at most so many utterances a direction and round (of both: half from each); null: all


@dataclass(frozen=True)
class EncoderConfig:
    """Speech to units: a network's hidden states, assigned to the centroids of a codebook."""

    kind: Literal["whisper", "hubert"] = "whisper"  # which family of network `model` is
    model: str = "package:whisper-base"  # weights: package:NAME, a folder, or a name on the hub
    layer: int = 4  # hidden states after so many layers
    codebook: str = "assets/phrasebook/codebook.safetensors"  # k-means centroids; bound to (model, layer)
    min_s: float = 0.1  # seconds; shorter utterances are skipped as too_short
    max_s: float = 30.0  # seconds; longer ones are skipped as too_long


@dataclass(frozen=True)
class RecognizerConfig:
    """Speech to text: judges what was spoken (ASR-BLEU), and reads candidates when `scorer.score_text` is asr."""

    model: str = "package:whisper-base"  # weights: package:NAME, a folder, or a name on the hub
    compute_type: Literal["int8", "float16", "float32"] = (
        "int8"  # arithmetic; it changes transcripts a little; float16 on GPUs alone
    )
    beam_size: int = 1  # hypotheses kept; 1 is greedy, as the ASR-BLEU protocols ask


@dataclass(frozen=True)
class PolicyConfig:
    """The unit language model that translates; `hidden`, `layers` and `heads` are the shape of one that round 0 makes from nothing."""

    start: str | None = None  # folder or hub name of a ready-made round-0 policy; null: round 0 has to be run
    base: str | None = None  # folder or hub name of a language model that round 0 teaches units; null: a small new one
    variant: Variant = (
        Variant.COM
    )  # what it is asked for: vanilla, com, or s2t where its text goes back; cot can only be a task
    text_variant: Variant | None = (
        None  # what it is asked for its text where `variant` has none (tri-task: s2t); null: it has no text
    )
    tasks: dict[str, float] = field(
        default_factory=lambda: {"com": 1.0, "asr": 0.5}
    )  # task: share (0..1) of the pairs it is written for;
    # how often an epoch has its sequences is sft.weights (open in the paper: each once, which its "jointly" suggests)
    hidden: int = 256  # width
    layers: int = 6
    heads: int = 4
    max_length: int = 512  # longest sequence, tokens


@dataclass(frozen=True)
class TranslatorConfig:
    """How candidates are sampled, and the way back (open in the paper but for n)."""

    n: int = 2  # candidates an utterance; the paper's
    temperature: float = 1.0  # the policy's own distribution: DPO is derived for samples of it
    top_p: float = 0.95  # nucleus, 0..1; cuts the tail that breaks templates and keeps the choice that pairs need
    top_k: int = 0  # 0: no limit; the nucleus limits already
    max_tokens: int = 320  # longest output, tokens; some four times a usual completion
    unit_temperature: float | None = (
        None  # of the units that say a candidate's text; null: they are sampled on from the text. A number:
    )
    # texts are sampled first, and each different one is spoken once, so that candidates differ in what they say and not in how. With
    # back_translate text only those are spoken that come back best or worst by one of scorer.metrics: a pair is made of no others
    back_translate: Literal["speech", "text"] = (
        "speech"  # what goes back: the candidate's units, as the paper has it, or its text (task mt);
    )
    # then labels tell of the text alone, and are right far more often (docs/experiments.md)
    back_translation_temperature: float = (
        0.0  # of the way back; greedy, so that the score tells of the candidate and not of luck on the way back
    )


@dataclass(frozen=True)
class ScorerConfig:
    """How far what came back is from where it started."""

    metrics: tuple[str, ...] = ("bleu", "chrf", "meteor", "wer", "mcd")  # all are stored; select chooses one
    score_text: Literal["policy", "asr"] = (
        "policy"  # the text that came back: the policy's own, or the recognizer's on its speech; open:
    )
    # the policy's costs nothing; a policy without text (vanilla) needs asr


@dataclass(frozen=True)
class FiltersConfig:
    """What a candidate must keep to stand in a pair at all: without them training rewards degenerate speech (not in the paper).

    A threshold is far outside of what references show: of 4,800 paired rows of the phrasebook 99.9 % copy less than 0.06 of the source's
    unit trigrams, and no text of 12,000 is more like the other language.
    """

    min_length_ratio: float = 0.5  # units of the candidate / units of the source
    max_length_ratio: float = 2.0
    max_repetition: float = 0.5  # share of unit trigrams that occurred before, 0..1
    max_copy: float = 0.5  # share of the candidate's unit trigrams that the source has as well, 0..1
    max_wrong_language: float = (
        0.8  # probability (0..1) that its text is in the source's language, of the two; no guard
    )
    # for vanilla and tri-task, whose candidates have no text: nothing listens to their units


@dataclass(frozen=True)
class SelectConfig:
    """Which scored candidates become a preference pair."""

    metric: str = "bleu"  # one of scorer.metrics; the paper finds them close, BLEU needs no audio and no stems
    rule: Literal["best_worst", "all_agree", "pareto", "quantile"] = (
        "best_worst"  # which two of n candidates; open: the paper has n = 2
    )
    quantile: float = 0.75  # policy quantile: chosen stands so far up the ranking (0.5..1; 1 is best against worst), rejected so far down
    delta: float | Literal["auto"] = (
        0.1  # the gap a pair needs, on the metric's scale (mcd: 0.., others 0..1); auto: by audit of corpus.dev
    )
    pairs: int | None = None  # at most so many pairs a direction; null: all (the paper: 5,000)
    filters: FiltersConfig = field(default_factory=FiltersConfig)


@dataclass(frozen=True)
class EvaluateConfig:
    """How a policy is judged on `corpus.test`."""

    s2t_utterances: int = 500  # utterances a direction for S2T BLEU
    asr_utterances: int = 100  # utterances a direction that are spoken and recognized for ASR-BLEU
    resamples: int = 1000  # bootstrap resamples behind an interval
    cascade: dict[str, str] | None = (
        None  # language: a VITS voice that speaks the policy's text, as a baseline; null: none
    )


@dataclass(frozen=True)
class RoundsConfig:
    """What changes from round to round (open: the paper compares one round with two of half the size)."""

    fresh: bool = True  # every round other utterances, as long as they last; false: the same, where speech is scarce
    stop: float | None = (
        0.0  # several rounds end after one that lowers the mean test score of both directions by more (BLEU); null: never
    )


@dataclass(frozen=True)
class ExpectedConfig:
    """What a dry run reckons with where it cannot look: corpora and models that are not here yet, and the GPU. Changes no result."""

    paired: int | None = None  # rows that round 0 trains on, both directions
    mono: int | None = None  # utterances of both languages
    seconds: float = 3.0  # of speech an utterance
    units_per_s: float = 24.0  # deduplicated units a second
    parameters: float | None = None  # of the policy; null: counted from its shape
    gpu_gib: float = 80.0  # memory of one GPU
    gpu_tflops: float = 990.0  # its bf16 peak (H100 SXM)
    utilisation: float = 0.35  # share of the peak that training reaches, 0..1


@dataclass(frozen=True)
class PoolConfig:
    """The processes of one stage. Changes how fast a stage is, not what it means: only which candidates are sampled depends on the batch,
    whose ids are part of the seed.
    """

    actors: int = 1  # processes (trainer: Ray Train workers)
    max_actors: int | None = (
        None  # a pool with work waiting grows to so many where there is room (trainer: in round 0); null: it does not
    )
    num_cpus: float = 1.0  # cores that Ray reserves for each
    num_gpus: float = 0.0  # GPUs that Ray reserves for each (trainer: 0 or 1)
    memory_gib: float = 0.0  # memory (GiB) that Ray reserves for each; 0: none
    accelerator: str | None = None  # only on GPUs of this type, as Ray names it (H100, A100, L4 ...); null: on any
    batch_size: int = 32  # rows a call
    threads: int = 1  # threads of the math libraries in each
    row_timeout_s: float = (
        120.0  # seconds (of a core, where it computes) that a row may take alone; n of a batch: 1 + (n - 1) / 32 times
    )

    @property
    def needs(self) -> dict[str, float]:
        """Return what one process takes of a node, by Ray's names of resources (memory in bytes)."""
        told = {"CPU": self.num_cpus, "GPU": self.num_gpus, "memory": self.memory_gib * 2**30}
        return told | ({f"{MARK}{self.accelerator}": 0.001} if self.accelerator else {})  # a mark, which never runs out


@dataclass(frozen=True)
class ResourcesConfig:
    """The pools of all stages, and what else changes how fast they are."""

    encoder: PoolConfig = PoolConfig()
    translator: PoolConfig = PoolConfig(batch_size=256)
    vocoder: PoolConfig = PoolConfig()
    recognizer: PoolConfig = PoolConfig(batch_size=16)
    scorer: PoolConfig = PoolConfig()
    trainer: PoolConfig = PoolConfig(num_cpus=2, threads=2)
    stall_s: float = 1800.0  # seconds without a new row, or a step of training, after which a stage ends with an error
    dtype: WantedDtype = (
        "auto"  # what translators compute in; auto: bfloat16 where the CPU or GPU has units for it, else
    )
    # float32. Speed, not content: as with another batch, other candidates are sampled, of the same distribution up to rounding
    kv_cache_gib: int = 1  # memory (GiB) that a translator on a CPU keeps for the sequences it is writing
