"""The sections of a recipe. The comment above a key says what it is, its unit, and why where the papers leave it open.

The keys outside of sections (`name`, `seed`, `languages`, `directions`, `vocoder`) are in `factory.recipe.recipe`,
those of the trainings in `factory.recipe.training`. The defaults are those of the embedded world: French and English
phrases on two CPU cores.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from factory.metrics.judge import has_plain_name, is_judge
from factory.recipe.typed import choose, require
from schemas.datasets import METRIC_NAMES
from schemas.sequences import Variant


@dataclass(frozen=True)
class CorpusConfig:
    """The speech, on a disk or in an object store (`s3://`, `gs://`): any format that `factory.corpora` reads.

    Each corpus may hold PAIRED rows instead of audio: speech that is already units. In paired speech (`paired`, `dev`)
    an utterance has the id `NAME/LANG`, and gives a pair in each direction that has both sides.

    With three or more languages, a test utterance `NAME/fr` without a `reference` has the text of `NAME/en` as its
    reference into English. Where a language is translated into several ones, its `reference` counts only if the id says
    in which language it is: `NAME/fr-en`.
    """

    # untranslated speech in every language that is translated; a round makes pairs from it
    mono: str = "assets/phrasebook/mono"
    # speech with its transcript and a reference translation; a round is evaluated on it
    test: str = "assets/phrasebook/test"
    # speech with its spoken translation; round 0 trains on it
    paired: str = "assets/phrasebook/paired.parquet"
    # PAIRED rows without units: parallel text for the task mt of round 0; null: none
    text: str | None = None
    # paired speech that round 0 does not train on: it computes its held-out loss on it
    dev: str = "assets/phrasebook/dev.parquet"
    # the corpora that pairs are made from; open: the paper shows all three, and mono needs no translations
    source: Literal["mono", "paired", "both"] = "mono"
    # utterances per direction and round, at most (for both: half from each corpus); null: all
    limit: int | None = None

    def __post_init__(self) -> None:
        require(self.limit is None or self.limit > 0, "corpus.limit must be 1 or more, or null for all", self.limit)


@dataclass(frozen=True)
class EncoderConfig:
    """Speech to units: hidden states of a network, assigned to the centroids of a codebook.

    A policy of continuous speech gets the hidden states through an adapter."""

    # the kind of network that `model` is
    kind: Literal["whisper", "hubert", "wav2vec2", "wavlm", "wav2vec2-bert"] = "whisper"
    # weights: package:NAME, a folder, or a name on the Hugging Face Hub
    model: str = "package:whisper-base"
    # the layer whose hidden states are used
    layer: int = 4
    # k-means centroids; they belong to one model and layer
    codebook: str = "assets/phrasebook/codebook.safetensors"
    # equal units in a row become one, with its duration; false: one unit per frame (50 per second), as in arXiv
    # 2506.10299, and vocoders that were trained on such units
    deduplicate: bool = True
    # seconds; a shorter utterance is skipped as too_short
    min_s: float = 0.1
    # seconds; a longer utterance is skipped as too_long
    max_s: float = 30.0


@dataclass(frozen=True)
class AlignerConfig:
    """Words to frames: when each word of the transcripts of paired speech is spoken.

    Without this section (the default) paired speech gets no words.
    """

    # whisper: the attention of a Whisper in CTranslate2's format; ctc: forced alignment with a CTC model of Hugging
    # Face (HuBERT, wav2vec2, w2v-BERT 2.0), as in the paper
    kind: Literal["whisper", "ctc"] = "whisper"
    # weights: package:NAME, a folder, or a name on the Hugging Face Hub
    model: str = "package:whisper-base"


@dataclass(frozen=True)
class RecognizerConfig:
    """Speech to text: transcribes the policy's speech for ASR-BLEU, and candidates when `scorer.score_text` is asr."""

    # weights: package:NAME, a folder, or a name on the Hugging Face Hub
    model: str = "package:whisper-base"
    # number format of the computation; it changes transcripts slightly; float16 runs on GPUs only
    compute_type: Literal["int8", "float16", "float32"] = "int8"
    # beams of the search; 1 is greedy, as the ASR-BLEU protocols require
    beam_size: int = 1


@dataclass(frozen=True)
class PolicyConfig:
    """The language model over units that translates; `hidden`, `layers` and `heads` shape a new model of round 0."""

    # what the policy reads: units, or speech, to which it answers in text only: a speech language model (continuous,
    # docs/continuous-speech.md), or an audio LLM by name that is asked in a chat (audio_llm, docs/audio-llms.md)
    kind: Literal["units", "continuous", "audio_llm"] = "units"
    # folder or Hub name of a finished round-0 policy, or of the audio LLM; null: round 0 has to be run first
    start: str | None = None
    # folder or Hub name of a language model that round 0 trains on units; null: a small new model. A policy of
    # continuous speech needs one
    base: str | None = None
    # how the policy translates: vanilla, com, cot (it writes the source's text first), or s2t where its text is
    # translated back
    variant: Variant = Variant.COM
    # how the policy writes a text where `variant` writes none (tri-task: s2t); null: it writes no text
    text_variant: Variant | None = None
    # task: share (0..1) of the paired rows that are written for it; sft.weights says how often an epoch uses them
    # (open: the paper says "jointly", which suggests once each). Besides the variants there are asr (speech to its
    # text), tts (text to its speech) and mt (text to text)
    tasks: dict[str, float] = field(default_factory=lambda: {"com": 1.0, "asr": 0.5})
    # width of a new model
    hidden: int = 256
    # layers of a new model
    layers: int = 6
    # attention heads of a new model
    heads: int = 4
    # tokens of the longest sequence
    max_length: int = 512

    def __post_init__(self) -> None:
        for task, share in self.tasks.items():
            choose(task, map(str, Variant), "a task of policy.tasks")
            require(0 <= share <= 1, f"policy.tasks.{task} must be a share from 0 to 1", share)
        require(self.variant.translates, "policy.variant must be a way to translate speech", self.variant)
        if self.text_variant is not None:
            without_text = "policy.text_variant is for a policy.variant without text (vanilla)"
            require(not self.variant.has_text, without_text, self.variant)
            require(self.text_variant is Variant.S2T, "policy.text_variant must be s2t", self.text_variant)
        for key, variant in (("variant", self.variant), ("text_variant", self.text_variant)):
            known = variant is None or self.tasks.get(variant) or self.kind == "audio_llm"  # which learns no tasks
            taught = f"policy.tasks must have {variant}, the policy.{key}, with a share above 0"
            require(known, f"{taught}: otherwise round 0 does not teach what the rounds use", self.tasks)


@dataclass(frozen=True)
class TranslatorConfig:
    """How candidates are sampled and translated back (open in the paper, except for n)."""

    # candidates per utterance; the paper's value
    n: int = 2
    # softmax temperature; 1 is the policy's own distribution, and DPO is derived for samples from it
    temperature: float = 1.0
    # nucleus, 0..1; it cuts the tail that breaks templates and keeps the variety that pairs need
    top_p: float = 0.95
    # tokens to sample from at most; 0: no limit, because the nucleus limits already
    top_k: int = 0
    # tokens of an output at most; about four times a usual completion
    max_tokens: int = 320
    # temperature of the units that follow a candidate's text; null: units are sampled in the same pass as the text.
    # With a number, texts are sampled first and each different text gets its units once, so that candidates differ in
    # what they say, not in how they say it. With back_translate text, only texts with the best or worst
    # back-translation by one of scorer.metrics get units, because a pair is made from no others
    unit_temperature: float | None = None
    # what is translated back: the candidate's units, as in the paper, or its text (task mt). With text, labels judge
    # the text only, and are right far more often (docs/experiments.md)
    back_translate: Literal["speech", "text"] = "speech"
    # temperature of the back-translation; 0 is greedy, so that the score depends on the candidate and not on chance
    back_translation_temperature: float = 0.0

    def __post_init__(self) -> None:
        require(self.n >= 1, "translator.n must be 1 or more", self.n)
        require(0 < self.top_p <= 1, "translator.top_p must lie in (0, 1]", self.top_p)
        for key in ("temperature", "unit_temperature", "back_translation_temperature"):
            value = getattr(self, key)
            require(value is None or value >= 0, f"translator.{key} must not be negative", value)


@dataclass(frozen=True)
class ScorerConfig:
    """How a back-translation is compared with its source."""

    # metrics to compute; all are stored, and `select` chooses one. Two more: chrfpp (chrF++), and reconstruction (the
    # likelihood of the source text given the candidate, by the policy; alone, it needs no back-translation)
    metrics: tuple[str, ...] = ("bleu", "chrf", "meteor", "wer", "mcd")
    # the text of a back-translation: written by the policy, or a transcript of its speech by the recognizer; open: the
    # policy's text costs nothing, and a policy without text (vanilla) needs asr
    score_text: Literal["policy", "asr"] = "policy"

    def __post_init__(self) -> None:
        for name in self.metrics:
            choose(name, METRIC_NAMES, "scorer.metrics")


@dataclass(frozen=True)
class FiltersConfig:
    """Which candidates are valid for a pair. Not in the paper: without filters, training rewards degenerate speech.

    A threshold is far outside of what references show: of 4,800 paired rows of the phrasebook, 99.9 % copy less than
    0.06 of the source's unit trigrams, and none of 12,000 texts looks more like the other language.
    """

    # units of the candidate / units of the source, at least
    min_length_ratio: float = 0.5
    # units of the candidate / units of the source, at most
    max_length_ratio: float = 2.0
    # share of unit trigrams that occurred before in the candidate, 0..1, at most
    max_repetition: float = 0.5
    # share of the candidate's unit trigrams that the source has too, 0..1, at most
    max_copy: float = 0.5
    # probability (0..1) that the candidate's text is in another language of the recipe than the target's, at most; the
    # language of a candidate without text (vanilla) is that of its units
    max_wrong_language: float = 0.8

    def __post_init__(self) -> None:
        low, high = self.min_length_ratio, self.max_length_ratio
        order = "select.filters.min_length_ratio must be 0 or more and below max_length_ratio"
        require(0 <= low < high, order, f"{low} and {high}")
        for name in ("max_repetition", "max_copy", "max_wrong_language"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"select.filters.{name} must lie in [0, 1]", value)


@dataclass(frozen=True)
class SelectConfig:
    """Which two candidates become a preference pair."""

    # the metric that ranks candidates: one of scorer.metrics (close, by the paper), or judge:NAME of `roundtrip judge`
    metric: str = "bleu"
    # the rule that takes two of n candidates; open: the paper has n = 2
    rule: Literal["best_worst", "all_agree", "pareto", "quantile"] = "best_worst"
    # rule quantile: the position of the chosen candidate in the ranking, 0.5..1 (1 is best against worst); the rejected
    # candidate has the mirrored position
    quantile: float = 0.75
    # δ: a pair needs a larger gap, on the metric's own scale (mcd: 0.., no unit; reconstruction: nats per token; others
    # 0..1); auto: recommended by an audit of corpus.dev
    delta: float | Literal["auto"] = 0.1
    # pairs per direction at most; null: all (the paper: 5,000)
    pairs: int | None = None
    # which candidates are valid
    filters: FiltersConfig = field(default_factory=FiltersConfig)

    def __post_init__(self) -> None:
        if is_judge(self.metric):
            plain = "select.metric: judge:NAME must have a name that `roundtrip judge` prints, such as judge:chrf"
            require(has_plain_name(self.metric), plain, repr(self.metric))
        else:
            choose(self.metric, METRIC_NAMES, "select.metric")
        require(self.delta == "auto" or self.delta >= 0, "select.delta must not be negative", self.delta)
        require(0.5 < self.quantile <= 1, "select.quantile must lie in (0.5, 1]", self.quantile)
        require(self.pairs is None or self.pairs > 0, "select.pairs must be 1 or more, or null for all", self.pairs)


@dataclass(frozen=True)
class EvaluateConfig:
    """How a policy is evaluated on `corpus.test`."""

    # utterances per direction for S2T BLEU; beyond asr_utterances they are translated as text alone, some 80 a second.
    # 1,000 give an interval a third as wide as 100
    s2t_utterances: int = 500
    # utterances per direction that are translated as speech too, synthesised and transcribed for ASR-BLEU
    asr_utterances: int = 100
    # bootstrap resamples for an interval
    resamples: int = 1000
    # language: weights of a VITS voice that reads the policy's text aloud, as a baseline; null: no baseline
    cascade: dict[str, str] | None = None
    # more measures of the speech than DistilMOS: dnsmos (how clean it sounds), speaker_similarity (how alike its voice
    # and that of the source's recording are); []: none, because they take longer than all others together
    # (docs/report.md)
    speech_measures: tuple[Literal["dnsmos", "speaker_similarity"], ...] = ()

    def __post_init__(self) -> None:
        for name in ("s2t_utterances", "asr_utterances", "resamples"):
            require(getattr(self, name) >= 1, f"evaluate.{name} must be 1 or more", getattr(self, name))


@dataclass(frozen=True)
class RoundsConfig:
    """What changes from round to round (open: the paper compares one round with two of half the size)."""

    # true: each round uses other utterances, while there are any; false: the same, where speech is scarce
    fresh: bool = True
    # no further round begins after one that lowers the mean test score (BLEU, all directions) by more; null: never
    # stop
    stop: float | None = 0.0
