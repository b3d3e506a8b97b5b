"""Preference training of an audio LLM by name: LoRA on its language model, over recordings that are embedded once.

The tower that hears and the projector do not learn. What the language model reads of a prompt and its recording is
taken from the network's own forward pass, so that any class of transformers whose language model takes embeddings can
be trained. The policy keeps all files of the one before it, and the names of its weights: processor, tokenizer and chat
template are the same, and vLLM loads it by its class.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoModelForMultimodalLM, PreTrainedModel

from factory.models.audio_chat import AudioChat
from trainers.errors import TrainingError
from trainers.spoken_pairs import HEARD, HeardPrompt
from trainers.workers import device

LANGUAGE_MODEL = "language_model"
"""What transformers calls the part of an audio LLM that writes, and how the names of its weights begin."""
COPIED = (".json", ".jinja", ".txt", ".model")
"""Endings of the files that belong to a policy, next to its weights."""


class AudioLLM:
    """An audio LLM before its training: its language model, and the parts that hear."""

    def __init__(self, folder: Path) -> None:
        """Load the folder of an audio LLM. Raises WeightsError or TrainingError if it cannot be trained."""
        self.folder, self.chat = folder, AudioChat(folder, str(folder))
        self.network = cast(PreTrainedModel, AutoModelForMultimodalLM.from_pretrained(folder, dtype=torch.float32))
        self.decoder = find_decoder(self.network, str(folder))
        self.llm = with_head(self.decoder, self.network)

    @property
    def end(self) -> int:
        """The token that ends an answer."""
        return self.chat.end

    def open_hearer(self) -> AudioLLM:
        """Return this network where it hears."""
        self.network.to(device()).eval()  # type: ignore[arg-type]
        return self

    def check(self, rows: Sequence[Mapping[str, str]], path: Path) -> None:
        """Raise TrainingError if a prompt has no place for a recording, or is none of the factory."""
        for index, row in enumerate(rows):
            try:
                [ids] = self.chat.encode([row["prompt"]])
            except ValueError as error:
                raise TrainingError(f"row {index} of {path}: {error}; write the pairs again with select") from error
            if ids.count(self.chat.place) != 1:
                raise TrainingError(f"the prompt of row {index} of {path} has not one place for a recording")

    @torch.inference_mode()
    def hear(self, prompt: str, wave: np.ndarray) -> HeardPrompt:
        """Return a prompt as a chat with the embeddings of its recording; ValueError for a length it refuses."""
        self.chat.check(wave)
        features = self.chat.compute_features(prompt, wave).to(device())
        [ids] = features["input_ids"]
        heard = ids == self.chat.place
        [embeddings] = _read_inputs(self.network, self.decoder, dict(features))
        return HeardPrompt(torch.where(heard, HEARD, ids).tolist(), embeddings[heard].cpu().clone())

    def saver(self, _merged: PreTrainedModel) -> Callable[[Path], None]:
        """Return what writes the trained policy: the folder of the one before, with the weights that have changed."""

        def save(folder: Path) -> None:
            """Write the whole folder. Learned weights are in float32: bfloat16 would round small changes away."""
            folder.mkdir(parents=True)
            learned = {name: weight.detach().cpu() for name, weight in self.decoder.state_dict().items()}
            found: set[str] = set()
            for file in sorted(self.folder.iterdir()):
                if file.suffix == ".safetensors":
                    found |= _rewrite(file, folder / file.name, learned)
                elif file.suffix in COPIED and not file.name.startswith("."):
                    shutil.copyfile(file, folder / file.name)
            if missing := sorted(learned.keys() - found):
                raise TrainingError(f"the files of {self.folder} have no weight {LANGUAGE_MODEL}.{missing[0]}")

        return save


class _Read(Exception):
    """Ends the forward pass where the language model begins."""


def _read_inputs(network: nn.Module, decoder: nn.Module, features: Mapping[str, Any]) -> Tensor:
    """Return the embeddings (B, T, D) that the decoder would read; it computes nothing."""
    read: list[Tensor] = []

    def take(_module: nn.Module, _args: object, inputs: dict[str, Any]) -> None:
        read.append(inputs["inputs_embeds"])
        raise _Read

    hook = decoder.register_forward_pre_hook(take, with_kwargs=True)
    try:
        network(**features, use_cache=False)
    except _Read:
        pass
    finally:
        hook.remove()
    return read[0]


def find_decoder(network: PreTrainedModel, policy: str) -> PreTrainedModel:
    """Return the part of an audio LLM that writes. Raises TrainingError if there is none."""
    for name, module in network.named_modules():
        if name.rpartition(".")[2] == LANGUAGE_MODEL and isinstance(module, PreTrainedModel):
            return module
    raise TrainingError(f"{policy} ({type(network).__name__}) has no part {LANGUAGE_MODEL}, which preferences train")


def with_head(decoder: PreTrainedModel, network: PreTrainedModel) -> PreTrainedModel:
    """Return a causal language model of the decoder and the head of an audio LLM; it shares their weights."""
    if cast(Any, decoder).get_output_embeddings() is not None:
        return decoder
    with torch.device("meta"):
        whole: Any = cast(Any, AutoModelForCausalLM).from_config(decoder.config)
    setattr(whole, whole.base_model_prefix, decoder)
    whole.set_output_embeddings(cast(Any, network).get_output_embeddings())
    return cast(PreTrainedModel, whole)


def _rewrite(file: Path, out: Path, learned: Mapping[str, Tensor]) -> set[str]:
    """Copy a file of weights with the learned ones in place of the old ones; return the names that it has of these."""
    found: set[str] = set()
    with safe_open(file, "pt") as tensors:
        weights = {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118
        metadata = tensors.metadata()
    for name, old in weights.items():
        _, part, rest = name.partition(f"{LANGUAGE_MODEL}.")
        key = rest if rest in learned else rest.removeprefix("model.")
        if part and key in learned:
            found.add(key)
            if not torch.equal(old.to(learned[key].dtype), learned[key]):
                weights[name] = learned[key].contiguous()
    save_file(weights, out, metadata)
    return found
