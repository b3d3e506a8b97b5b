"""What is wrong with a policy or a round's folder: checked before the round begins, not hours later."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path
from uuid import uuid4

from factory.models.audio_chat import check_audio_llm
from factory.models.device import cpu_has_bf16, describe_dtype
from factory.models.speech_config import LLM, read_front_config
from factory.models.vocoder_config import VocoderError
from factory.passes.weights import count_units, local_weights
from factory.recipe.recipe import Recipe
from factory.storage.files import filesystem, put
from factory.storage.manifest import StoreError
from schemas.errors import RoundtripError
from schemas.sequences import EOS, EOSP, PAD, SEP, SOSP, tag, unit_token
from trainers.checks import check_targets, check_tokens


class UnusablePolicy(RoundtripError):
    """A policy that cannot translate what the recipe needs."""


def check_policy(policy: str, recipe: Recipe) -> None:
    """Check that a policy has the units, languages, tasks and LoRA layers of the recipe.

    Args:
        policy: a folder, URI or Hub name.
        recipe: the recipe.

    Raises:
        RoundtripError: something is missing; the message names it.
    """
    folder = local_weights(policy)
    if recipe.chats:
        check_audio_llm(folder, policy)
        return
    if recipe.hears_speech:
        check_hearing(policy, folder, recipe)
        return
    tags = [tag(name) for name in (*recipe.languages, *recipe.back_translation_variants)]
    units = map(unit_token, range(count_units(recipe)))
    check_tokens(chain([EOS, PAD, SOSP, EOSP], tags, units), _added_tokens(folder), policy)
    if targets := recipe.preference.targets:
        check_targets(targets, _matrices(folder), policy)


def check_hearing(policy: str, folder: Path, recipe: Recipe) -> None:
    """Check that a policy hears speech by the encoder of the recipe, and knows its languages and tasks.

    Args:
        policy: its name, for messages.
        folder: its folder.
        recipe: the recipe.

    Raises:
        RoundtripError: something is missing or does not fit; the message names it.
    """
    config, encoder = read_front_config(folder), recipe.encoder
    kind, layer = config["encoder"]["kind"], config["encoder"]["layer"]
    if (kind, layer) != (encoder.kind, encoder.layer):
        raise UnusablePolicy(
            f"the policy {policy} hears by layer {layer} of an encoder of the kind {kind}, and encoder names layer "
            f"{encoder.layer} of {encoder.kind}: set encoder.kind and encoder.layer as the policy has them, or train "
            "round 0 again"
        )
    llm = json.loads((folder / LLM / "config.json").read_text("utf-8"))
    width, given = llm.get("text_config", llm).get("hidden_size"), config["adapter"]["out"]
    if width != given:
        raise UnusablePolicy(
            f"the adapter of the policy {policy} gives embeddings of {given} dimensions, and its language model takes "
            f"{width}: use the folder of one training"
        )
    tags = [tag(name) for name in (*recipe.languages, recipe.policy.variant, "mt")]
    check_tokens(chain([EOS, PAD, SOSP, EOSP, SEP], tags), _added_tokens(folder / LLM), policy)
    if targets := recipe.preference.targets:
        check_targets(targets, _matrices(folder / LLM), policy)


def check_measures(recipe: Recipe) -> None:
    """Check that the weights of `evaluate.speech_measures` are installed. Raises WeightsError."""
    for name in recipe.measure_weights.values():
        local_weights(name)


def check_vocoders(recipe: Recipe) -> None:
    """Check that the vocoders take the units that the encoder makes.

    Raises:
        RoundtripError: a vocoder predicts durations, and units are not deduplicated, or the other way round.
    """
    for lang, name in recipe.vocoder.items():
        file = local_weights(name) / "config.json"
        if not file.is_file():  # a checkpoint of fairseq: the actor that loads it says what is wrong
            continue
        predicts = bool(json.loads(file.read_text("utf-8")).get("dur_predictor_params"))
        if predicts != recipe.encoder.deduplicate:
            what = "predicts durations" if predicts else "takes one unit per frame"
            setting = str(recipe.encoder.deduplicate).lower()
            raise VocoderError(
                f"vocoder.{lang} ({name}) {what}, and encoder.deduplicate is {setting}: change one of them, or train a "
                "vocoder on the units of this encoder (trainers.vocoder.train)"
            )


def check_writable(folder: str) -> None:
    """Raise StoreError if the folder at a URI takes no file: a file has its name, or the right is missing."""
    fs, path = filesystem(folder)
    probe = f"{path}/.writable-{uuid4().hex[:8]}"
    try:
        put(fs, probe, b"")
        fs.delete_file(probe)
    except (StoreError, OSError) as error:
        reason = error.__cause__ or error
        raise StoreError(f"{folder} cannot be written ({reason}): give another --run, or free that folder") from error


def describe_arithmetic(recipe: Recipe) -> str:
    """Return a line with the number format of a round's computation, its reason, and the keys that change it."""
    setting = recipe.resources.dtype
    dtype = describe_dtype(setting, on_gpu=recipe.resources.translator.num_gpus > 0)
    if dtype == setting:
        return f"arithmetic: {dtype} (forced by resources.dtype)"
    cpu = f"this CPU has {'' if cpu_has_bf16() else 'no '}bf16 units"
    reason = "each machine decides" if dtype.startswith("auto") else cpu
    return f"arithmetic: {dtype} ({reason}; force it with resources.dtype, sft.precision and preference.precision)"


def _added_tokens(folder: Path) -> dict[str, int]:
    """Return the added tokens of a policy without loading a tokenizer."""
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise UnusablePolicy(
            f"the policy {folder} has no tokenizer.json: give a folder that a round, or trainers.sft, wrote"
        )
    added = json.loads(file.read_text("utf-8"))["added_tokens"]
    return {token["content"]: token["id"] for token in added}


def _matrices(folder: Path) -> list[str]:
    """Return the names of the matrices in a policy's weights: its linear layers and embeddings."""
    from safetensors import safe_open

    names = []
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "numpy") as tensors:
            matrices = [name for name in tensors.keys() if len(tensors.get_slice(name).get_shape()) == 2]  # noqa: SIM118
            names += [name.removesuffix(".weight") for name in matrices]
    return names
