"""A recipe: one YAML file is one experiment. What stands below is every key it may hold, with its default and its unit.

The defaults are those of the embedded world (French and English phrases, two cores). `load` reads a file and the overrides of a command
line; `fingerprint` says which keys change what a stage writes, so that two runs can be told apart, or found to be the same.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from factory.typed import RecipeError, build, chosen, lay_over, parse_override, read_yaml
from schemas.datasets import SCORES
from schemas.sequences import Variant, completion, prompt, text_prompt

__all__ = ["STAGES", "Recipe", "RecipeError", "digest", "load", "locate", "parse_override"]

ROOT = Path(__file__).resolve().parent.parent
METRICS = tuple(SCORES.field(place).name for place in range(SCORES.num_fields))


def _toy_vocoders() -> dict[str, str]:
    return {lang: f"assets/phrasebook/vocoder-{lang}" for lang in ("fr", "en")}


@dataclass(frozen=True)
class Recipe:
    """One experiment."""

    name: str = "phrasebook"  # what runs and reports are called
    seed: int = 0  # of sampling, training and resampling
    languages: tuple[str, ...] = ("fr", "en")  # two ISO 639 codes; a round goes both ways
    corpus: Corpus = field(default_factory=Corpus)
    encoder: Encoder = field(default_factory=Encoder)
    vocoder: dict[str, str] = field(default_factory=_toy_vocoders)  # language: folder or hub name of its unit vocoder
    recognizer: Recognizer = field(default_factory=Recognizer)
    policy: Policy = field(default_factory=Policy)
    translator: Translator = field(default_factory=Translator)
    scorer: Scorer = field(default_factory=Scorer)
    select: Select = field(default_factory=Select)
    sft: dict[str, Any] = field(default_factory=dict)  # settings of trainers/sft.py; it checks them
    preference: dict[str, Any] = field(default_factory=dict)  # loss: dpo (default) or simpo; settings of trainers/preference.py
    evaluate: Evaluate = field(default_factory=Evaluate)
    resources: Resources = field(default_factory=Resources)

    def __post_init__(self) -> None:
        object.__setattr__(self, "preference", {"loss": "dpo", **self.preference})
        _check(self)

    def judges(self) -> dict[str, str]:
        """Return the weights that scores depend on besides the policy's: vocoders and recognizer, by the names that `inputs` uses."""
        return {f"vocoder.{lang}": path for lang, path in self.vocoder.items()} | {"recognizer": self.recognizer.model}

    @property
    def listens(self) -> bool:
        """Whether the ways back must be spoken: for MCD, or for the recognizer."""
        return self.scorer.score_text == "asr" or "mcd" in self.scorer.metrics

    def content(self, stage: str, inputs: dict[str, str] | None = None) -> dict[str, Any]:
        """Return only what changes the rows (or weights) that `stage` writes: no pools, no names, no places.

        Weights and datasets count by what they hold: the caller passes their digests in `inputs`. Raises RecipeError for a stage that
        does not exist, and for an input of it that has no digest.
        """
        chosen(stage, STAGES, "the stage")
        if inputs is not None:
            lacking = sorted(set(self.inputs(stage)) - set(inputs))
            _need(not lacking, f"the fingerprint of {stage} needs the digests of its inputs", f"none for {', '.join(lacking)}")
        values, kept = asdict(self), {}
        for name in STAGES[stage]:
            value: Any = values
            for part in name.split("."):
                value = value[part]
            kept[name] = value
        return {"stage": stage, **kept, "templates": _templates(), "inputs": dict(inputs or {})}

    def inputs(self, stage: str) -> list[str]:
        """Name the datasets and weights whose digests belong to the fingerprint of `stage`."""
        vocoders = [f"vocoder.{lang}" for lang in sorted(self.vocoder)]
        heard = self.scorer.score_text == "asr"
        spoken = heard or "mcd" in self.scorer.metrics
        return {
            "tokenize": ["corpus", "encoder", "codebook"],
            "sft": ["units"],
            "produce": ["units", "policy", *(vocoders if spoken else []), *(["recognizer"] if heard else [])],
            "select": ["scored"],
            "train": ["pairs", "policy"],
            "evaluate": ["units", "policy", *vocoders, "recognizer"],
        }[stage]

    def fingerprint(self, stage: str, inputs: dict[str, str]) -> str:
        """Return the 16 hexadecimal digits that name what `stage` writes from these inputs."""
        return digest(self.content(stage, inputs))

    def missing_files(self) -> list[str]:
        """Name the local paths of this recipe that do not exist, each in a sentence; names of weights and URIs are not looked up."""
        named = {
            f"corpus.{key}": getattr(self.corpus, key) for key in ("mono", "test", "paired", "text", "dev") if getattr(self.corpus, key)
        }
        named |= {"encoder.codebook": self.encoder.codebook} | {f"vocoder.{lang}": path for lang, path in self.vocoder.items()}
        local = {key: path for key, path in named.items() if "://" not in path and not path.startswith("package:")}
        return [f"{key} is {path}, and nothing is there" for key, path in local.items() if not Path(locate(path).partition("#")[0]).exists()]


STAGES: dict[str, tuple[str, ...]] = {
    "tokenize": ("languages", "encoder.kind", "encoder.layer", "encoder.min_s", "encoder.max_s"),
    "sft": ("seed", "languages", "policy.hidden", "policy.layers", "policy.heads", "policy.max_length", "policy.tasks", "sft"),
    "produce": (
        *("seed", "languages", "corpus.limit", "policy.variant", "translator", "scorer"),
        *("recognizer.compute_type", "recognizer.beam_size"),
    ),
    "select": ("languages", "policy.variant", "select"),
    "train": ("seed", "policy.variant", "preference"),
    "evaluate": ("seed", "policy.variant", "translator.max_tokens", "recognizer.compute_type", "recognizer.beam_size", "evaluate"),
}
"""The keys that change what a stage writes; a section stands for all its keys."""


def load(path: str | Path | None = None, overrides: list[str] | tuple[str, ...] = ()) -> Recipe:
    """Read a recipe (None: all defaults) and lay `section.key=value` overrides over it.

    Raises RecipeError in a sentence: no such file, no YAML, an unknown key, a wrong type, a value that no part knows.
    """
    values = _read(Path(locate(str(path)))) if path is not None else {}
    for override in overrides:
        lay_over(values, override)
    return build(Recipe, values)


def locate(path: str) -> str:
    """Return where a path of a recipe leads: URIs and package names stay, relative paths count from here or else from the repository.

    What stands behind a `#` (the sha256 of weights) stays there.
    """
    place = path.partition("#")[0]
    if "://" in path or path.startswith("package:") or Path(path).exists() or Path(place).exists():
        return path
    return str(ROOT / path) if (ROOT / place).exists() else path


def digest(content: Any) -> str:
    """Return the first 16 hexadecimal digits of the sha256 of a value written as canonical JSON."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _check(recipe: Recipe) -> None:
    """Raise RecipeError for values that no part knows, or that do not fit each other."""
    langs, scorer, translator, chosen_by = recipe.languages, recipe.scorer, recipe.translator, recipe.select
    for lang in langs:
        _need(re.fullmatch("[a-z]{2,3}", lang), "languages must hold ISO 639 codes such as fr or deu", repr(lang))
    _need(len(langs) == len(set(langs)) == 2, "languages must hold two different codes", list(langs))
    for lang in recipe.vocoder:
        chosen(lang, langs, "a language of vocoder")
    for metric in scorer.metrics:
        chosen(metric, METRICS, "scorer.metrics")
    chosen(chosen_by.metric, METRICS, "select.metric")
    _need(chosen_by.metric in scorer.metrics, f"select.metric must be among scorer.metrics ({', '.join(scorer.metrics)})", chosen_by.metric)
    _need(chosen_by.delta == "auto" or chosen_by.delta >= 0, "select.delta must not be negative", chosen_by.delta)
    _need(recipe.policy.variant.translates, "policy.variant must be a way to translate speech", recipe.policy.variant)
    _need(recipe.corpus.text or "mt" not in recipe.policy.tasks, "policy.tasks has mt, which needs corpus.text", recipe.corpus.text)
    chosen(recipe.preference["loss"], ("dpo", "simpo"), "preference.loss")
    _need(translator.n >= 1, "translator.n must be 1 or more", translator.n)
    _need(0 < translator.top_p <= 1, "translator.top_p must lie in (0, 1]", translator.top_p)
    _need(translator.temperature >= 0, "translator.temperature must not be negative", translator.temperature)


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        near = ", ".join(sorted(str(found) for found in path.parent.glob("*.yaml"))) or "none in that folder"
        raise RecipeError(f"there is no recipe {path}; recipes beside it: {near}")
    values = read_yaml(path.read_text("utf-8"), str(path))
    _need(values is None or isinstance(values, dict), f"{path} must hold sections of keys", values)
    return values or {}


def _templates() -> str:
    """Digest how an utterance is written: an example of every variant, so that no version number has to be kept by hand."""
    examples = [(prompt(variant, "fr", "en", [1, 2]), completion(variant, "text", [3, 4], "source")) for variant in Variant]
    examples.append((text_prompt("fr", "en", "text"), ""))
    return digest(examples)


def _need(holds: object, sentence: str, got: Any) -> None:
    if not holds:
        raise RecipeError(f"{sentence}; got {got}")
