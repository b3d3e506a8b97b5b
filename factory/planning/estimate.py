"""Estimates what a round needs from GPUs: memory per GPU and GPU hours per stage, from counts and rules of thumb.

Training takes 6 operations per parameter and token (Kaplan et al., 2020), a third more if activations are computed
twice;
generating takes 2. A parameter that is trained takes 22 bytes: fp32 weight, gradient and Adam's two moments, a bf16
copy for the products, and the gradient in the buckets of several workers; with LoRA it takes 6. An estimate is right
within a factor of two: it says whether a stage fits, and whether a round takes an hour or a week.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from factory.planning.sizes import find_parameters
from factory.recipe.part import StageConfig
from factory.recipe.recipe import Recipe
from schemas.sequences import Variant

GENERATING = 0.15
"""Share of the peak that a full batch reaches while generating: its weights are read from memory for every token."""
REAL_TIME = {"encoder": 500.0, "aligner": 60.0, "vocoder": 300.0, "recognizer": 60.0}
"""Seconds of speech per second of one GPU: a base-size encoder, a unit vocoder, Whisper large with greedy search."""
TEXT_SHARE = 0.15
"""Tokens of text per unit of the same sentence."""
TEXTS_WITH_UNITS = 4
"""Texts per utterance that get units if only the ends of its rankings do."""
FRAMES_PER_S = 50
"""Frames of an encoder per second of speech."""
AUDIO_TOKENS_PER_S, INSTRUCTION = 25, 40
"""Embeddings of an audio LLM per second of speech (Qwen2-Audio's), and tokens of a chat around them."""
ENCODER_ACTIVATIONS = 1.9
"""Bytes of the activations of a frame, per parameter of the encoder to the power of 2/3: 34 per channel and layer,
of networks 40 times wider than deep (1280 channels in 32 layers)."""
GIB = 2**30
SEQUENCES_AT_ONCE = 256
"""Sequences that a generating engine writes at once if a batch has that many."""


class Amounts(NamedTuple):
    """The data of a round: rows that it learns from or translates, and utterances that it tokenizes."""

    rows: int
    tokenized: int


class Cost(NamedTuple):
    """What a stage needs: memory per GPU (GiB) and hours of one GPU. `pool` is its key in `resources`."""

    stage: str
    pool: str
    gib: float
    hours: float
    detail: str


def costs(recipe: Recipe, number: int, amounts: Amounts) -> list[Cost]:
    """Return the costs of the stages of a round that run on GPUs; none if the size of the policy is not known.

    Args:
        recipe: the recipe.
        number: the number of the round.
        amounts: the data of the round.
    """
    if find_parameters(recipe) is None:
        return []
    if recipe.hears_speech:
        first = [_stage(recipe, stage, amounts.rows) for stage in recipe.part.stages]
        later = [*_produce(recipe, amounts.rows), _preference(recipe, amounts.rows)]
        return [*(later if number else first), *_evaluate(recipe, min(number, 1) + 1)]
    tokenize = _speech(recipe, "tokenize", "encoder", amounts.tokenized, 2)
    if number == 0:
        align = [_speech(recipe, "align", "aligner", amounts.tokenized, 2)] if recipe.aligner else []
        return [tokenize, *align, _sft(recipe, amounts.rows), *_evaluate(recipe, 1)]
    return [tokenize, *_produce(recipe, amounts.rows), _preference(recipe, amounts.rows), *_evaluate(recipe, 2)]


def count_parameters(recipe: Recipe) -> float:
    """Return the policy's parameters (`factory.planning.sizes`); 0 if they are not known."""
    return find_parameters(recipe) or 0.0


def _units(recipe: Recipe) -> float:
    """Return the units of one utterance."""
    return recipe.expected.seconds * recipe.expected.units_per_s


def _frames(recipe: Recipe) -> float:
    """Return the frames of the encoder of one utterance."""
    return recipe.expected.seconds * FRAMES_PER_S


def _prompt(recipe: Recipe, variant: Variant) -> float:
    """Return the tokens, or embeddings, of one prompt."""
    if variant.reads_text:
        return _units(recipe) * TEXT_SHARE
    if recipe.chats:
        return recipe.expected.seconds * AUDIO_TOKENS_PER_S + INSTRUCTION
    return _frames(recipe) / recipe.part.stride if recipe.hears_speech else _units(recipe)


def _completion(recipe: Recipe, variant: Variant) -> float:
    """Return the tokens of one completion."""
    texts = 2 if variant is Variant.COT else 1 if variant.has_text else 0
    return _units(recipe) * ((1 if variant.has_units else 0) + TEXT_SHARE * texts)


def _training_hours(recipe: Recipe, tokens: float, recomputed: bool) -> float:
    expected = recipe.expected
    operations = (8 if recomputed else 6) * count_parameters(recipe) * tokens
    return operations / (expected.gpu_tflops * 1e12 * expected.utilisation) / 3600


def _activations_gib(recipe: Recipe, tokens: float, recomputed: bool) -> float:
    """Return the memory of tokens in a batch.

    Activations take 34 bytes per channel and layer (Korthikanti et al., 2022), or one copy of each layer's input if
    they are computed twice.
    """
    return tokens * _width(recipe) * _layers(recipe) * (4 if recomputed else 34) / GIB


def _width(recipe: Recipe) -> float:
    """Return the policy's channels: language models are about 110 times wider than deep."""
    return float((110 * count_parameters(recipe) / 12) ** (1 / 3))


def _layers(recipe: Recipe) -> float:
    return _width(recipe) / 110


def _cache_gib(recipe: Recipe) -> float:
    """Return the memory of the KV cache in bf16, with a third of the width (grouped queries) in each layer."""
    length = _prompt(recipe, recipe.policy.variant) + _completion(recipe, recipe.policy.variant)
    sequences = min(SEQUENCES_AT_ONCE, recipe.resources.translator.batch_size * recipe.translator.n)
    return sequences * length * 4 * (_width(recipe) / 3) * _layers(recipe) / GIB


def sft_tokens(recipe: Recipe, paired: int) -> float:
    """Return the tokens that round 0 learns from in all epochs, with `paired` rows, all speech as units."""
    sft = recipe.sft
    shares = {task: share * sft.weights.get(task, 1.0) for task, share in recipe.policy.tasks.items()}
    per_row = sum(
        share * (_prompt(recipe, Variant(task)) + _completion(recipe, Variant(task))) for task, share in shares.items()
    )
    return sft.epochs * paired * per_row


def _sft(recipe: Recipe, paired: int) -> Cost:
    sft, tokens = recipe.sft, sft_tokens(recipe, paired)
    # bytes per parameter: weights, gradient, Adam's moments
    full = 22 / recipe.resources.trainer.actors if sft.sharded else 22
    weights_gib = count_parameters(recipe) * (6 if sft.rank else full) / GIB
    gib = weights_gib + _activations_gib(recipe, sft.tokens, sft.checkpointing)
    hours = _training_hours(recipe, tokens, sft.checkpointing)
    return Cost("sft", "trainer", gib, hours, f"{tokens / 1e6:,.0f} M tokens")


def _stage(recipe: Recipe, stage: StageConfig, rows: int) -> Cost:
    """Return the cost of a stage over `rows` utterances, of which each task takes its share.

    A frozen network takes 4 operations per parameter and token where gradients pass through it, and 2 where not.
    """
    part, encoder = recipe.part, recipe.expected.encoder_parameters or 0.0
    learns = any("encoder." in pattern or pattern == "*" for pattern in stage.train)
    counts = {task: weight * recipe.policy.tasks.get(task, 0.0) * rows for task, weight in stage.tasks.items()}
    lengths = {task: _prompt(recipe, Variant(task)) + _completion(recipe, Variant(task)) for task in counts}
    tokens = stage.epochs * sum(count * lengths[task] for task, count in counts.items())
    most = math.inf if stage.steps is None else stage.steps * part.tokens * recipe.resources.trainer.actors
    share = min(1.0, most / max(1.0, tokens))
    spoken = stage.epochs * sum(count for task, count in counts.items() if not Variant(task).reads_text)
    frames = spoken * _frames(recipe)
    whole = "llm.*" in stage.train or "*" in stage.train
    llm_operations = (6 if whole else 4) * count_parameters(recipe) * tokens
    operations = share * (llm_operations + (6 if learns else 2) * encoder * frames)
    hours = operations / (recipe.expected.gpu_tflops * 1e12 * recipe.expected.utilisation) / 3600
    weights = (count_parameters(recipe) * (22 if whole else 6) + encoder * (22 if learns else 4)) / GIB
    gib = weights + _activations_gib(recipe, part.tokens, recomputed=False)
    if learns:
        gib += part.tokens * part.stride * encoder ** (2 / 3) * ENCODER_ACTIVATIONS / GIB
    return Cost(f"stage {stage.name}", "trainer", gib, hours, f"{share * tokens / 1e6:,.0f} M tokens")


def _preference(recipe: Recipe, utterances: int) -> Cost:
    config, workers = recipe.preference, recipe.resources.trainer.actors
    pairs = len(recipe.used_directions) * recipe.select.pairs if recipe.select.pairs else utterances
    length = _prompt(recipe, recipe.policy.variant) + _completion(recipe, recipe.policy.variant)
    micro_batch = min(config.micro_batch or config.batch, config.batch / workers)
    # the reference reads without learning: once for its log-probabilities, in each epoch for a divergence
    reading = 1 / 3
    passes = config.epochs * (1 + reading * (config.unit_kl > 0)) + reading * config.loss.needs_reference_model
    tokens = 2 * pairs * length * passes
    gib = count_parameters(recipe) * 6 / GIB + _activations_gib(recipe, 2 * length * micro_batch, recomputed=True)
    hours = _training_hours(recipe, tokens, recomputed=True)
    return Cost("train", "trainer", gib, hours, f"at most {pairs:,} pairs")


def _generation(recipe: Recipe, stage: str, tokens: float) -> Cost:
    expected = recipe.expected
    hours = 2 * count_parameters(recipe) * tokens / (expected.gpu_tflops * 1e12 * GENERATING) / 3600
    # with less memory the engine writes fewer sequences at once
    gib = count_parameters(recipe) * 2 / GIB + _cache_gib(recipe)
    return Cost(stage, "translator", gib, hours, f"{tokens / 1e6:,.0f} M tokens")


def _speech(recipe: Recipe, stage: str, model: str, utterances: float, gib: float, pool: str = "") -> Cost:
    seconds = utterances * recipe.expected.seconds
    hours = seconds / REAL_TIME[model] / 3600
    return Cost(stage, pool or model, gib, hours, f"{seconds / 3600:,.1f} h of speech")


def _produce(recipe: Recipe, utterances: int) -> list[Cost]:
    n = recipe.translator.n
    stages = [_generation(recipe, "produce", utterances * tokens_of_produce(recipe))]
    if recipe.hears_speech:
        stages[0] = _add_encoder(stages[0], recipe, utterances)
    if recipe.speaks_back_translations:
        stages.append(_speech(recipe, "produce: vocoder", "vocoder", (n + 1) * utterances, 2))
    if recipe.scorer.score_text == "asr" and recipe.writes_back_translations:
        stages.append(_speech(recipe, "produce: recognizer", "recognizer", n * utterances, 6, "scorer"))
    return stages


def _add_encoder(cost: Cost, recipe: Recipe, utterances: float) -> Cost:
    """Return the cost of a stage with that of the encoder, which embeds the utterances in the same process."""
    expected = recipe.expected
    parameters = expected.encoder_parameters or 0.0
    operations = 2 * parameters * utterances * _frames(recipe)
    hours = operations / (expected.gpu_tflops * 1e12 * expected.utilisation) / 3600
    return cost._replace(gib=cost.gib + parameters * 4 / GIB, hours=cost.hours + hours)


def tokens_of_produce(recipe: Recipe) -> float:
    """Return the tokens of an utterance's candidates and of the back-translations, if any are written."""
    translator, n = recipe.translator, recipe.translator.n
    with_units = n if translator.unit_temperature is None else min(n, TEXTS_WITH_UNITS)
    tokens = tokens_both_ways(recipe, n, with_units)
    if recipe.writes_back_translations:
        return tokens
    return tokens - n * _completion(
        recipe, Variant.MT if translator.back_translate == "text" else recipe.policy.variant
    )


def tokens_both_ways(recipe: Recipe, candidates: int, with_units: int) -> float:
    """Return the tokens of an utterance's candidates, `with_units` of them with units, and back-translations."""
    full, text = _completion(recipe, recipe.policy.variant), _completion(recipe, Variant.MT)
    if recipe.translator.back_translate == "speech":
        return 2 * candidates * full
    return 2 * candidates * text + with_units * (full - text)


def _evaluate(recipe: Recipe, policies: int) -> list[Cost]:
    directions = len(recipe.used_directions)
    if recipe.hears_speech:
        tested = directions * recipe.test_utterances * policies
        written = _generation(recipe, "evaluate", 2 * tested * _completion(recipe, Variant.MT))
        return [_add_encoder(written, recipe, tested)]
    tested, spoken = directions * recipe.test_utterances * policies, directions * recipe.evaluate.asr_utterances
    whole, text = min(tested, spoken * policies), _completion(recipe, Variant.MT)
    texts = (tested - whole) * text * (2 if recipe.translator.back_translate == "text" else 1)
    generation = _generation(recipe, "evaluate", whole * tokens_both_ways(recipe, 1, 1) + texts)
    # a translation, its back-translation, and the speech of the cascade
    transcribed = spoken * policies * (1 + (not recipe.writes_text) + bool(recipe.evaluate.cascade))
    # recordings, and the same speech resynthesised
    judged = len(recipe.used_directions.targets) * recipe.evaluate.asr_utterances
    toplines = _speech(recipe, "toplines: recognizer", "recognizer", 2 * judged, 6)
    return [toplines, generation, _speech(recipe, "evaluate: recognizer", "recognizer", transcribed, 6)]


def render(recipe: Recipe, number: int, amounts: Amounts) -> str:
    """Return the estimate as text, with a line for every stage that does not fit into a GPU.

    Args:
        recipe: the recipe.
        number: the number of the round.
        amounts: the data of the round.
    """
    expected, stages = recipe.expected, costs(recipe, number, amounts)
    if not stages:
        return f"  no estimate: the size of {recipe.policy.start} is not known; give it as expected.parameters"
    gpu = f"a GPU of {expected.gpu_gib:g} GiB and {expected.gpu_tflops:g} TFLOPS"
    size = f"{count_parameters(recipe) / 1e9:.2f} G parameters"
    lines = [f"  estimate within a factor of two, for {gpu}; policy of {size}, {expected.seconds:g} s per utterance"]
    lines += [f"    {cost.stage:24}{cost.gib:7.1f} GiB {cost.hours:9.2f} GPU h   {cost.detail}" for cost in stages]
    total = sum(cost.hours for cost in stages)
    lines.append(f"    {'total':24}{max(cost.gib for cost in stages):7.1f} GiB {total:9.2f} GPU h")
    large = [cost.stage for cost in stages if cost.gib > expected.gpu_gib]
    lines += [
        f"    {stage} does not fit into {expected.gpu_gib:g} GiB: lower its batch, or use LoRA" for stage in large
    ]
    return "\n".join(lines)
