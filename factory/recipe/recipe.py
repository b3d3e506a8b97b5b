"""A recipe: one YAML file is one experiment.

`factory.recipe.loading` reads it, `factory.recipe.sections` and `factory.recipe.training` list its keys.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Literal

from factory.metrics import METRICS
from factory.models.instructions import ask_for_speech, ask_for_text
from factory.models.packaged import DNSMOS, RESEMBLYZER
from factory.recipe.directions import Directions
from factory.recipe.part import PartConfig
from factory.recipe.resources import ExpectedConfig, ResourcesConfig
from factory.recipe.sections import (
    AlignerConfig,
    CorpusConfig,
    EncoderConfig,
    EvaluateConfig,
    PolicyConfig,
    RecognizerConfig,
    RoundsConfig,
    ScorerConfig,
    SelectConfig,
    TranslatorConfig,
)
from factory.recipe.training import PreferenceConfig, SftConfig
from factory.recipe.typed import Settings, choose, require
from schemas.fingerprint import json_digest
from schemas.sequences import Variant, completion, prompt, text_prompt


def _toy_vocoders() -> dict[str, str]:
    return {lang: f"assets/phrasebook/vocoder-{lang}" for lang in ("fr", "en")}


@dataclass(frozen=True)
class Recipe:
    """One experiment."""

    # the name of runs and reports
    name: str = "phrasebook"
    # seed of sampling, training and resampling
    seed: int = 0
    # two or more ISO 639 codes
    languages: tuple[str, ...] = ("fr", "en")
    # what a round translates, such as [fr-en, es-en, de-en]; null: every language into every other one. Round 0 learns
    # the opposite directions too, because every candidate is translated back into its source language
    directions: tuple[str, ...] | None = None
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    # when the words of paired speech are spoken; null: not computed
    aligner: AlignerConfig | None = None
    # language: folder or Hub name of its unit vocoder
    vocoder: dict[str, str] = field(default_factory=_toy_vocoders)
    recognizer: RecognizerConfig = field(default_factory=RecognizerConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    translator: TranslatorConfig = field(default_factory=TranslatorConfig)
    scorer: ScorerConfig = field(default_factory=ScorerConfig)
    select: SelectConfig = field(default_factory=SelectConfig)
    sft: SftConfig = field(default_factory=SftConfig)
    # round 0 of a policy of continuous speech, in place of sft
    part: PartConfig = field(default_factory=PartConfig)
    preference: PreferenceConfig = field(default_factory=PreferenceConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    rounds: RoundsConfig = field(default_factory=RoundsConfig)
    resources: ResourcesConfig = field(default_factory=ResourcesConfig)
    expected: ExpectedConfig = field(default_factory=ExpectedConfig)
    # what shows the curves of a run: each round's scores with intervals, and the losses of its training, are written
    # into RUN/tensorboard, RUN/mlflow (or to MLFLOW_TRACKING_URI), RUN/wandb (offline) or RUN/trackio; []: nothing
    tracking: tuple[Literal["tensorboard", "mlflow", "wandb", "trackio"], ...] = ()

    @cached_property
    def used_directions(self) -> Directions:
        """The directions that a round translates and is evaluated in, such as `fr-en` and `en-fr`."""
        return Directions.choose(self.languages, self.directions)

    @cached_property
    def taught_directions(self) -> Directions:
        """The directions that round 0 learns: those that are used, and those of their back-translations."""
        used = self.used_directions
        return Directions.choose(self.languages, {*used, *(direction.reverse for direction in used)})

    @property
    def more_id_columns(self) -> tuple[str, ...]:
        """The columns that, with `utt_id`, name a row that is translated: none if an utterance has only one row."""
        return ("tgt_lang",) if self.used_directions.branches else ()

    @property
    def hears_speech(self) -> bool:
        """True if the policy reads speech, and not units."""
        return self.policy.kind != "units"

    @property
    def chats(self) -> bool:
        """True if the policy is an audio LLM by name, which is asked in a chat."""
        return self.policy.kind == "audio_llm"

    @property
    def writes_speech(self) -> bool:
        """True if translations are judged as speech too: those of a policy of units."""
        return not self.hears_speech

    @property
    def judge_weights(self) -> dict[str, str]:
        """The other weights that scores depend on, by their names in `inputs`: vocoders and recognizer."""
        if not self.writes_speech:
            return {}
        return {f"vocoder.{lang}": path for lang, path in self.vocoder.items()} | {"recognizer": self.recognizer.model}

    @property
    def cascade_weights(self) -> dict[str, str]:
        """The weights of the cascade baseline, by their names in `inputs`."""
        return {f"cascade.{lang}": path for lang, path in (self.evaluate.cascade or {}).items()}

    @property
    def measure_weights(self) -> dict[str, str]:
        """The weights of the further measures of speech, by their names in `inputs`."""
        packages = {"dnsmos": DNSMOS, "speaker_similarity": RESEMBLYZER}
        return {f"measure.{name}": packages[name] for name in self.evaluate.speech_measures}

    @property
    def compares_texts(self) -> bool:
        """True if candidates are ranked by the utterance's transcript, which each utterance needs then."""
        metric = METRICS[self.select.metric]
        return metric.by_policy or (self.scorer.score_text == "policy" and not metric.audio)

    @property
    def writes_back_translations(self) -> bool:
        """True if a metric needs back-translations; reconstruction reads the source text, and nothing is decoded."""
        return any(not METRICS[name].by_policy for name in self.scorer.metrics)

    @property
    def speaks_back_translations(self) -> bool:
        """True if back-translations need a waveform: for MCD, or for the recognizer."""
        return self.writes_back_translations and (self.scorer.score_text == "asr" or "mcd" in self.scorer.metrics)

    @property
    def writes_text(self) -> bool:
        """True if the policy can write a text, so that there is an S2T score."""
        return self.policy.variant.has_text or self.policy.text_variant is not None

    @property
    def test_utterances(self) -> int:
        """Test utterances per direction; for a policy without text, only those that are transcribed."""
        evaluate = self.evaluate
        return evaluate.s2t_utterances if self.writes_text else min(evaluate.s2t_utterances, evaluate.asr_utterances)

    @property
    def back_translation_variants(self) -> list[Variant]:
        """The variants of a back-translation: the policy's own and, where that writes no text, the one that does."""
        return [variant for variant in (self.policy.variant, self.policy.text_variant) if variant is not None]

    def turn(self, number: int) -> int:
        """Return which share of the utterances a round takes, from 1; with `rounds.fresh` each round has its own."""
        return number if self.rounds.fresh and self.corpus.limit is not None else 1

    def content(self, stage: str, inputs: dict[str, str]) -> Settings:
        """Return what the fingerprint of a stage covers: settings that change its rows, and digests of its inputs.

        Pools, names and paths are left out: weights and datasets count by their content. A key without a value (null)
        is left out too, so that a new key does not change old fingerprints; so are directions if all are used, and
        `encoder.deduplicate` if it is true. The weights of `evaluate.speech_measures` are inputs, and name them.

        Args:
            stage: a key of STAGES.
            inputs: the digest of each input of the stage; more may be given.

        Raises:
            RecipeError: the stage is unknown, or an input has no digest.
        """
        choose(stage, STAGES, "the stage")
        missing = sorted(set(self.inputs(stage)) - set(inputs))
        require(not missing, f"the fingerprint of {stage} needs the digests of its inputs", f"none for {missing}")
        every = Directions.choose(self.languages, None)
        named = None if self.used_directions == every else self.used_directions
        settings, content = asdict(self) | {"directions": named}, {}
        settings["encoder"]["deduplicate"] = None if self.encoder.deduplicate else False
        for key in STAGES[stage]:
            value = settings
            for name in key.split("."):
                value = value and value[name]  # a section that is null has no values
            if value is not None:
                content[key] = _without_nulls(value)
        if self.chats and stage in ("produce", "evaluate"):
            content["instructions"] = [ask_for_speech("fr", "en"), ask_for_text("fr", "en", "text")]
        return {"stage": stage, **content, "templates": _digest_templates(), "inputs": dict(inputs)}

    def inputs(self, stage: str) -> list[str]:
        """Return the names of the datasets and weights whose digests belong to the fingerprint of a stage."""
        vocoders = [f"vocoder.{lang}" for lang in sorted(self.vocoder)]
        judges = [*vocoders, "recognizer"] if self.writes_speech else []
        produce = ["units", "policy"]
        produce += vocoders if self.speaks_back_translations else []
        produce += ["recognizer"] if self.scorer.score_text == "asr" else []
        return {
            "tokenize": ["corpus", "encoder", "codebook"],
            "recordings": ["corpus"],
            "align": ["corpus", "aligner"],
            "sequences": ["units"],
            "spoken_sequences": ["corpus", "text"],
            "produce": produce,
            "select": ["scored"],
            "evaluate": ["units", "policy", *judges, *self.cascade_weights, *self.measure_weights],
            "toplines": ["units", *vocoders, "recognizer"],
        }[stage]


_RECOGNIZER = ("recognizer.compute_type", "recognizer.beam_size")
_UTTERANCES = ("evaluate.s2t_utterances", "evaluate.asr_utterances")
_VARIANTS = ("policy.variant", "policy.text_variant")
STAGES: dict[str, tuple[str, ...]] = {
    "tokenize": ("languages", "encoder.kind", "encoder.layer", "encoder.deduplicate", "encoder.min_s", "encoder.max_s"),
    "recordings": ("languages", "encoder.min_s", "encoder.max_s"),
    "align": ("languages", "encoder.min_s", "encoder.max_s", "aligner.kind"),
    "sequences": ("policy.tasks", "sft.interleave.units"),
    "spoken_sequences": ("languages", "directions", "policy.tasks"),
    "produce": (
        *("seed", "languages", "directions", "corpus.source", "corpus.limit", "rounds.fresh"),
        *(*_VARIANTS, "translator", "scorer", *_RECOGNIZER),
    ),
    "select": ("languages", "policy.variant", "select"),
    # both translations are greedy, so that the seed changes nothing
    "evaluate": (
        *("directions", *_VARIANTS, "translator.max_tokens", "translator.back_translate"),
        *(*_RECOGNIZER, *_UTTERANCES),
    ),
    "toplines": ("directions", *_RECOGNIZER, *_UTTERANCES),
}
"""The keys that change the rows of a stage. A section stands for all its keys."""


def _without_nulls(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return value


def _digest_templates() -> str:
    """Return the digest of an example of every variant: it changes when the form of a sequence changes.

    tts has the prompt of mt and the completion of vanilla. It is left out, so that older fingerprints stay the same.
    """
    examples = [
        (prompt(variant, "fr", "en", [1, 2]), completion(variant, "text", [3, 4], "source"))
        for variant in Variant
        if variant is not Variant.TTS
    ]
    examples.append((text_prompt("fr", "en", "text"), ""))
    return json_digest(examples)
