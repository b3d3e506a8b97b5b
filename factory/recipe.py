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


@dataclass(frozen=True)
class Corpus:
    """The speech: Parquet folders or files, on a disk or in an object store (`s3://`, `gs://`)."""

    mono: str = "assets/phrasebook/mono"  # UTTERANCE rows: untranslated speech of every language, what pairs are made of
    test: str = "assets/phrasebook/test"  # UTTERANCE rows with text: what a round is evaluated on
    paired: str = "assets/phrasebook/paired.parquet"  # PAIRED rows: what round 0 trains on
    text: str | None = None  # PAIRED rows without units: parallel text, for the task mt of round 0
    dev: str = "assets/phrasebook/dev.parquet"  # PAIRED rows: the held-out loss of round 0
    limit: int | None = None  # at most so many utterances of `mono` a direction and round; null: all


@dataclass(frozen=True)
class Encoder:
    """Speech to units: a network's hidden states, assigned to the centroids of a codebook."""

    kind: Literal["whisper", "hubert"] = "whisper"  # which family of network `model` is
    model: str = "package:whisper-base"  # weights: package:NAME, a folder, or a name on the hub
    layer: int = 4  # hidden states after so many layers
    codebook: str = "assets/phrasebook/codebook.safetensors"  # k-means centroids; bound to (model, layer)
    min_s: float = 0.1  # seconds; shorter utterances are skipped as too_short
    max_s: float = 30.0  # seconds; longer ones are skipped as too_long


@dataclass(frozen=True)
class Recognizer:
    """Speech to text: judges what was spoken (ASR-BLEU), and reads candidates when `scorer.score_text` is asr."""

    model: str = "package:whisper-base"  # weights: package:NAME, a folder, or a name on the hub
    compute_type: Literal["int8", "float16", "float32"] = "int8"  # arithmetic; it changes transcripts a little
    beam_size: int = 1  # hypotheses kept; 1 is greedy, as the ASR-BLEU protocols ask


@dataclass(frozen=True)
class Policy:
    """The unit language model that translates; `hidden` to `max_length` are the shape of a policy that sft makes from nothing."""

    start: str | None = None  # folder or hub name of the round-0 policy; null: the shipped one
    variant: Variant = Variant.COM  # what it is asked for: vanilla, s2t, com or cot
    tasks: dict[str, float] = field(default_factory=lambda: {"com": 1.0, "asr": 0.5})  # variant: share (0..1) of the pairs, in round 0
    hidden: int = 256  # width
    layers: int = 6
    heads: int = 4
    max_length: int = 512  # longest sequence, tokens


@dataclass(frozen=True)
class Translator:
    """How candidates are sampled, and the way back."""

    n: int = 2  # candidates an utterance
    temperature: float = 1.0
    top_p: float = 0.95  # nucleus, 0..1
    top_k: int = 0  # 0: no limit
    max_tokens: int = 320  # longest output, tokens
    back_temperature: float = 0.0  # of the way back; 0 is greedy


@dataclass(frozen=True)
class Scorer:
    """How far what came back is from where it started."""

    metrics: tuple[str, ...] = ("bleu", "chrf", "meteor", "wer", "mcd")  # all are stored; select chooses one
    score_text: Literal["policy", "asr"] = "policy"  # the text that came back: the policy's own, or the recognizer's on its speech


@dataclass(frozen=True)
class Guards:
    """What a candidate must keep to stand in a pair at all: without them training rewards degenerate speech."""

    min_length_ratio: float = 0.5  # units of the candidate / units of the source
    max_length_ratio: float = 2.0
    max_repetition: float = 0.5  # share of unit trigrams that occurred before, 0..1


@dataclass(frozen=True)
class Select:
    """Which scored candidates become a preference pair."""

    metric: str = "bleu"  # one of scorer.metrics
    delta: float | Literal["auto"] = 0.1  # the gap a pair needs, on the metric's scale (mcd: dB, others 0..1); auto: by audit of corpus.dev
    pairs: int | None = None  # at most so many pairs a direction; null: all
    guards: Guards = field(default_factory=Guards)


@dataclass(frozen=True)
class Evaluate:
    """How a policy is judged on `corpus.test`."""

    s2t_utterances: int = 500  # utterances a direction for S2T BLEU
    asr_utterances: int = 100  # utterances a direction that are spoken and recognized for ASR-BLEU
    resamples: int = 1000  # bootstrap resamples behind an interval


@dataclass(frozen=True)
class Pool:
    """The processes of one stage. Changes how fast a stage is, never what it writes."""

    actors: int = 1  # processes (trainer: Ray Train workers)
    num_cpus: float = 1.0  # cores that Ray reserves for each
    num_gpus: float = 0.0  # GPUs that Ray reserves for each
    batch_size: int = 32  # rows a call
    threads: int = 1  # threads of the math libraries in each
    row_timeout_s: float = 120.0  # seconds that a row may take alone; a batch of n rows has 1 + (n - 1) / 32 times as long


@dataclass(frozen=True)
class Resources:
    """The pools of all stages."""

    encoder: Pool = Pool()
    translator: Pool = Pool(batch_size=256)
    vocoder: Pool = Pool()
    recognizer: Pool = Pool(batch_size=16)
    scorer: Pool = Pool()
    trainer: Pool = Pool(num_cpus=2, threads=2)
    stall_s: float = 1800.0  # seconds without a new row after which a pass ends with an error
    kv_cache_gib: int = 1  # memory (GiB) that a translator on a CPU keeps for the sequences it is writing


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
        return [f"{key} is {path}, and nothing is there" for key, path in local.items() if not Path(locate(path)).exists()]


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
    """Return where a path of a recipe leads: URIs and package names stay, relative paths count from here or else from the repository."""
    if "://" in path or path.startswith("package:") or Path(path).exists():
        return path
    return str(ROOT / path) if (ROOT / path).exists() else path


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
