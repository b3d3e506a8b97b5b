"""What a round will ask of GPUs, before it is run: memory a GPU and GPU hours of each stage, from counts and rules of thumb.

Training costs 6 operations a parameter and token (Kaplan et al., 2020), a third more with activations computed twice; generating costs 2.
A parameter that is trained takes 22 bytes: fp32 weight, gradient and Adam's two moments, a bf16 copy for the products, the gradient in
the buckets of several workers; with LoRA it takes 6. An estimate is good to a factor of two: it says whether a stage fits, and whether
a round takes an hour or a week.
"""

from __future__ import annotations

from typing import NamedTuple

from factory.recipe.recipe import Recipe
from schemas.sequences import Variant

GENERATING = 0.15
"""Share of the peak that a full batch reaches while generating: its weights are read from memory for every token."""
REAL_TIME = {"encoder": 500.0, "vocoder": 300.0, "recognizer": 60.0}
"""Seconds of speech a second of one GPU: a base-size encoder, a unit vocoder, Whisper large with greedy search."""
TEXT_SHARE = 0.15
"""Tokens of text beside the units of the same sentence."""
SPOKEN = 4
"""Texts of an utterance that are spoken where only the ends of its rankings are."""
GIB = 2**30
AT_ONCE = 256
"""Sequences that a generating engine writes at once where a batch has so many."""


class Cost(NamedTuple):
    """What a stage asks for: memory of each GPU (GiB) and hours of one GPU; `pool` is its processes' key in `resources`."""

    stage: str
    pool: str
    gib: float
    hours: float
    told: str


def costs(recipe: Recipe, number: int, rows: int, spoken: int) -> list[Cost]:
    """Return the stages of a round that run on GPUs, for `rows` that it learns from or works on and `spoken` utterances to tokenize."""
    if number == 0:
        return [_tokenizing(recipe, spoken), _sft(recipe, rows), *_evaluating(recipe, 1)]
    return [_tokenizing(recipe, spoken), *_producing(recipe, rows), _preference(recipe, rows), *_evaluating(recipe, 2)]


def parameters(recipe: Recipe) -> float:
    """Return the policy's parameters: as the recipe expects them, or counted from the shape of a small one."""
    shape = recipe.policy
    return recipe.expected.parameters or 12 * shape.hidden**2 * shape.layers + 2_500 * shape.hidden


def _side(recipe: Recipe) -> float:
    """Return the unit tokens of one utterance."""
    return recipe.expected.seconds * recipe.expected.units_per_s


def _completion(recipe: Recipe, variant: Variant) -> float:
    return _side(recipe) * ((1 if variant.has_units else 0) + (TEXT_SHARE if variant.has_text else 0))


def _training_hours(recipe: Recipe, tokens: float, recomputed: bool) -> float:
    expected = recipe.expected
    operations = (8 if recomputed else 6) * parameters(recipe) * tokens
    return operations / (expected.gpu_tflops * 1e12 * expected.utilisation) / 3600


def _activations_gib(recipe: Recipe, tokens: float, recomputed: bool) -> float:
    """Memory of `tokens` in flight: 34 bytes a channel and layer (Korthikanti et al., 2022), or one copy of each layer's input."""
    return tokens * _width(recipe) * _layers(recipe) * (4 if recomputed else 34) / GIB


def _width(recipe: Recipe) -> float:
    """Return the policy's channels: language models are some 110 times as wide as deep."""
    return float((110 * parameters(recipe) / 12) ** (1 / 3))


def _layers(recipe: Recipe) -> float:
    return _width(recipe) / 110


def _cache_gib(recipe: Recipe) -> float:
    """Memory of the keys and values of all sequences in flight, in bf16, with a third of the width (grouped queries) in each layer."""
    length = _side(recipe) + _completion(recipe, recipe.policy.variant)
    at_once = min(AT_ONCE, recipe.resources.translator.batch_size * recipe.translator.n)
    return at_once * length * 4 * (_width(recipe) / 3) * _layers(recipe) / GIB


def _sft(recipe: Recipe, paired: int) -> Cost:
    from factory.recipe.training import SftConfig
    from factory.recipe.typed import build

    sft = build(SftConfig, recipe.sft, "sft")
    shares = {task: share * sft.weights.get(task, 1.0) for task, share in recipe.policy.tasks.items()}
    each = sum(share * (_side(recipe) + _completion(recipe, Variant(task))) for task, share in shares.items())
    tokens = sft.epochs * paired * each
    whole = (
        22 / recipe.resources.trainer.actors if sft.sharded else 22
    )  # bytes a parameter: weights, gradient, Adam's moments
    gib = parameters(recipe) * (6 if sft.rank else whole) / GIB + _activations_gib(
        recipe, sft.tokens, sft.checkpointing
    )
    return Cost(
        "sft", "trainer", gib, _training_hours(recipe, tokens, sft.checkpointing), f"{tokens / 1e6:,.0f} M tokens"
    )


def _preference(recipe: Recipe, mono: int) -> Cost:
    from factory.recipe.training import PreferenceConfig
    from factory.recipe.typed import build

    settings, workers = build(PreferenceConfig, recipe.preference, "preference"), recipe.resources.trainer.actors
    pairs = 2 * recipe.select.pairs if recipe.select.pairs else mono
    length = _side(recipe) + _completion(recipe, recipe.policy.variant)
    micro_batch = min(settings.micro_batch or settings.batch, settings.batch / workers)
    again = (
        1 / 3
    )  # the reference reads without learning: once for its log-probabilities, in each epoch for a divergence
    passes = settings.epochs * (1 + again * (settings.unit_kl > 0)) + again * settings.loss.needs_reference_model
    tokens = 2 * pairs * length * passes
    gib = parameters(recipe) * 6 / GIB + _activations_gib(recipe, 2 * length * micro_batch, recomputed=True)
    return Cost("train", "trainer", gib, _training_hours(recipe, tokens, recomputed=True), f"at most {pairs:,} pairs")


def _generating(recipe: Recipe, stage: str, tokens: float) -> Cost:
    expected = recipe.expected
    hours = 2 * parameters(recipe) * tokens / (expected.gpu_tflops * 1e12 * GENERATING) / 3600
    gib = parameters(recipe) * 2 / GIB + _cache_gib(recipe)  # with less the engine writes fewer at once
    return Cost(stage, "translator", gib, hours, f"{tokens / 1e6:,.0f} M tokens")


def _hearing(recipe: Recipe, stage: str, part: str, utterances: float, gib: float, pool: str = "") -> Cost:
    seconds = utterances * recipe.expected.seconds
    return Cost(stage, pool or part, gib, seconds / REAL_TIME[part] / 3600, f"{seconds / 3600:,.1f} h of speech")


def _tokenizing(recipe: Recipe, utterances: int) -> Cost:
    return _hearing(recipe, "tokenize", "encoder", utterances, 2)


def _producing(recipe: Recipe, utterances: int) -> list[Cost]:
    asked = recipe.translator
    spoken = asked.n if asked.unit_temperature is None else min(asked.n, SPOKEN)
    told = [_generating(recipe, "produce", utterances * _there_and_back(recipe, asked.n, spoken))]
    if recipe.listens:
        told.append(_hearing(recipe, "produce: vocoder", "vocoder", (recipe.translator.n + 1) * utterances, 2))
    if recipe.scorer.score_text == "asr":
        told.append(
            _hearing(recipe, "produce: recognizer", "recognizer", recipe.translator.n * utterances, 6, "scorer")
        )
    return told


def _there_and_back(recipe: Recipe, candidates: int, spoken: int) -> float:
    """Return the tokens of an utterance's candidates, of which so many are spoken, and of their ways back."""
    whole, text = _completion(recipe, recipe.policy.variant), _completion(recipe, Variant.MT)
    if recipe.translator.back_translate == "speech":
        return 2 * candidates * whole
    return 2 * candidates * text + spoken * (whole - text)


def _evaluating(recipe: Recipe, policies: int) -> list[Cost]:
    tested, spoken = 2 * recipe.tested * policies, 2 * recipe.evaluate.asr_utterances
    writing = _generating(recipe, "evaluate", tested * _there_and_back(recipe, 1, 1))
    heard = (
        spoken * policies * (1 + (not recipe.writes_text) + bool(recipe.evaluate.cascade))
    )  # a translation, its way back, the cascade's
    toplines = _hearing(
        recipe, "toplines: recognizer", "recognizer", 2 * spoken, 6
    )  # recordings, and their units spoken again
    return [toplines, writing, _hearing(recipe, "evaluate: recognizer", "recognizer", heard, 6)]


def render(recipe: Recipe, number: int, rows: int, spoken: int) -> str:
    """Return the estimate as text, with a line for every stage that does not fit into a GPU."""
    expected, found = recipe.expected, costs(recipe, number, rows, spoken)
    head = f"  estimate, to a factor of two, for a GPU of {expected.gpu_gib:g} GiB and {expected.gpu_tflops:g} TFLOPS; "
    lines = [head + f"policy of {parameters(recipe) / 1e9:.2f} G parameters, {expected.seconds:g} s an utterance"]
    lines += [f"    {cost.stage:24}{cost.gib:7.1f} GiB {cost.hours:9.2f} GPU h   {cost.told}" for cost in found]
    lines.append(
        f"    {'in all':24}{max(cost.gib for cost in found):7.1f} GiB {sum(cost.hours for cost in found):9.2f} GPU h"
    )
    short = [cost for cost in found if cost.gib > expected.gpu_gib]
    lines += [
        f"    {cost.stage} does not fit into {expected.gpu_gib:g} GiB: lower its batch, or take LoRA" for cost in short
    ]
    return "\n".join(lines)
