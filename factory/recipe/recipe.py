"""A recipe: one YAML file is one experiment. `factory.recipe.sections` lists every key it may hold, with its default and its unit.

`load` reads a file, the file that it `extends`, and the overrides of a command line; `content` says which keys change what a stage
writes, so that two runs can be told apart, or found to be the same (what a training depends on, the trainers say).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from itertools import permutations
from typing import Any

from factory.recipe.checks import check
from factory.recipe.paths import is_there
from factory.recipe.sections import (
    CorpusConfig,
    EncoderConfig,
    EvaluateConfig,
    ExpectedConfig,
    PolicyConfig,
    RecognizerConfig,
    ResourcesConfig,
    RoundsConfig,
    ScorerConfig,
    SelectConfig,
    TranslatorConfig,
)
from factory.recipe.typed import chosen, need
from schemas.fingerprint import json_digest
from schemas.sequences import Variant, completion, prompt, text_prompt


def _toy_vocoders() -> dict[str, str]:
    return {lang: f"assets/phrasebook/vocoder-{lang}" for lang in ("fr", "en")}


@dataclass(frozen=True)
class Recipe:
    """One experiment."""

    name: str = "phrasebook"  # what runs and reports are called
    seed: int = 0  # of sampling, training and resampling
    languages: tuple[str, ...] = ("fr", "en")  # two ISO 639 codes; a round goes both ways
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    vocoder: dict[str, str] = field(default_factory=_toy_vocoders)  # language: folder or hub name of its unit vocoder
    recognizer: RecognizerConfig = field(default_factory=RecognizerConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    translator: TranslatorConfig = field(default_factory=TranslatorConfig)
    scorer: ScorerConfig = field(default_factory=ScorerConfig)
    select: SelectConfig = field(default_factory=SelectConfig)
    sft: dict[str, Any] = field(default_factory=dict)  # SftSettings of factory/recipe/training.py
    preference: dict[str, Any] = field(default_factory=dict)  # PreferenceSettings there; loss: dpo (default) or simpo
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    rounds: RoundsConfig = field(default_factory=RoundsConfig)
    resources: ResourcesConfig = field(default_factory=ResourcesConfig)
    expected: ExpectedConfig = field(default_factory=ExpectedConfig)

    def __post_init__(self) -> None:
        object.__setattr__(self, "preference", {"loss": "dpo", **self.preference})
        check(self)

    def judges(self) -> dict[str, str]:
        """Return the weights that scores depend on besides the policy's: vocoders and recognizer, by the names that `inputs` uses."""
        return {f"vocoder.{lang}": path for lang, path in self.vocoder.items()} | {"recognizer": self.recognizer.model}

    @property
    def directions(self) -> list[str]:
        """Return the names of both directions, `fr-en` and `en-fr`."""
        return [f"{src}-{tgt}" for src, tgt in permutations(self.languages, 2)]

    @property
    def listens(self) -> bool:
        """Whether the ways back must be spoken: for MCD, or for the recognizer."""
        return self.scorer.score_text == "asr" or "mcd" in self.scorer.metrics

    @property
    def writes_text(self) -> bool:
        """Whether the policy can be asked for a text, so that there is an S2T score."""
        return self.policy.variant.has_text or self.policy.text_variant is not None

    @property
    def tested(self) -> int:
        """How many test utterances a direction are translated: of a policy that writes no text only those that are heard."""
        asked = self.evaluate
        return asked.s2t_utterances if self.writes_text else min(asked.s2t_utterances, asked.asr_utterances)

    @property
    def back_variants(self) -> list[str]:
        """Return what the way back is asked with: the variant itself and, where that gives no text, the one that does."""
        return [str(variant) for variant in (self.policy.variant, self.policy.text_variant) if variant is not None]

    def content(self, stage: str, inputs: dict[str, str]) -> dict[str, Any]:
        """Return only what changes the rows that `stage` writes, of which its fingerprint is made: no pools, no names, no places.

        A key without a value (null) is left out, so that a new one leaves old fingerprints alone. Weights and datasets count by what they
        hold: the caller passes their digests in `inputs`. Raises RecipeError for a stage that does not exist, and for an input of it that
        has no digest.
        """
        chosen(stage, STAGES, "the stage")
        lacking = sorted(set(self.inputs(stage)) - set(inputs))
        need(
            not lacking, f"the fingerprint of {stage} needs the digests of its inputs", f"none for {', '.join(lacking)}"
        )
        values, kept = asdict(self), {}
        for name in STAGES[stage]:
            value: Any = values
            for part in name.split("."):
                value = value[part]
            if value is not None:
                kept[name] = _valued(value)
        return {"stage": stage, **kept, "templates": _templates(), "inputs": dict(inputs)}

    def inputs(self, stage: str) -> list[str]:
        """Name the datasets and weights whose digests belong to the fingerprint of `stage`."""
        vocoders = [f"vocoder.{lang}" for lang in sorted(self.vocoder)]
        heard = self.scorer.score_text == "asr"
        return {
            "tokenize": ["corpus", "encoder", "codebook"],
            "sequences": ["units"],
            "produce": ["units", "policy", *(vocoders if self.listens else []), *(["recognizer"] if heard else [])],
            "select": ["scored"],
            "evaluate": ["units", "policy", *vocoders, "recognizer"],
            "toplines": ["units", *vocoders, "recognizer"],
        }[stage]

    def local_paths(self) -> dict[str, str]:
        """Return what this recipe names on a disk, by key; URIs, packages and what may be a name on the hub are left out."""
        from factory.models.weights import may_be_on_hub

        files = {f"corpus.{key}": getattr(self.corpus, key) for key in ("mono", "test", "paired", "text", "dev")}
        files["encoder.codebook"] = self.encoder.codebook
        models = {"encoder.model": self.encoder.model, "recognizer.model": self.recognizer.model}
        models |= {f"vocoder.{lang}": path for lang, path in self.vocoder.items()}
        models |= {f"evaluate.cascade.{lang}": path for lang, path in (self.evaluate.cascade or {}).items()}
        models |= {f"policy.{key}": path for key in ("start", "base") if (path := getattr(self.policy, key))}
        files |= {key: path for key, path in models.items() if is_there(path) or not may_be_on_hub(path)}
        return {
            key: path for key, path in files.items() if path and "://" not in path and not path.startswith("package:")
        }

    def missing_files(self, keys: Collection[str] | None = None) -> list[str]:
        """Name the local paths of this recipe (of these keys; None: all) that do not exist, each in a sentence. URIs are not looked up."""
        named = {key: path for key, path in self.local_paths().items() if keys is None or key in keys}
        hint = "put it there, or say where it is with --set"
        return [
            f"{key} is {path}, and nothing is there: {hint} {key}=…"
            for key, path in named.items()
            if not is_there(path)
        ]


STAGES: dict[str, tuple[str, ...]] = {
    "tokenize": ("languages", "encoder.kind", "encoder.layer", "encoder.min_s", "encoder.max_s"),
    "sequences": ("policy.tasks",),
    "produce": (
        *(
            "seed",
            "languages",
            "corpus.source",
            "corpus.limit",
            "rounds.fresh",
            "policy.variant",
            "policy.text_variant",
        ),
        *("translator", "scorer"),
        *("recognizer.compute_type", "recognizer.beam_size"),
    ),
    "select": ("languages", "policy.variant", "select"),
    "evaluate": (
        *(
            "policy.variant",
            "policy.text_variant",
            "translator.max_tokens",
            "translator.back_translate",
        ),  # greedy, there and back: no seed
        *("recognizer.compute_type", "recognizer.beam_size", "evaluate"),
    ),
    "toplines": (
        "recognizer.compute_type",
        "recognizer.beam_size",
        "evaluate.s2t_utterances",
        "evaluate.asr_utterances",
    ),
}
"""The keys that change what a stage writes; a section stands for all its keys."""


def _valued(value: Any) -> Any:
    """Return nested settings without the keys that hold nothing."""
    return (
        {key: _valued(inner) for key, inner in value.items() if inner is not None} if isinstance(value, dict) else value
    )


def _templates() -> str:
    """Digest how an utterance is written: an example of every variant, so that no version number has to be kept by hand."""
    examples = [
        (prompt(variant, "fr", "en", [1, 2]), completion(variant, "text", [3, 4], "source")) for variant in Variant
    ]
    examples.append((text_prompt("fr", "en", "text"), ""))
    return json_digest(examples)
