"""The part of a speech language model that hears: a speech encoder and an adapter turn waves into embeddings.

    front = SpeechEmbedder.from_folder("runs/part/round-0/policy")
    [embeddings] = front.embed([wave])           # (T, D), for vLLM's prompt embeddings

It is loaded without the language model where another engine runs that.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from factory.models.padded import pad, plan_batches
from factory.models.speech_adapter import SpeechAdapter, shapes_fit
from factory.models.speech_config import (
    ADAPTER,
    CONFIG,
    ENCODER,
    MODEL_TYPE,
    EncoderPart,
    FrontConfig,
    explain_none,
    read_front_config,
)
from factory.models.speech_encoder import SpeechEncoder
from factory.models.speech_encoders import load_speech_encoder
from factory.models.weights import WeightsError


class SpeechEmbedder(nn.Module):
    """An encoder and an adapter. The names of weights begin with `encoder.` or `adapter.`."""

    def __init__(self, speech_encoder: SpeechEncoder, kind: str, adapter: SpeechAdapter) -> None:
        """Join the parts.

        Args:
            speech_encoder: the encoder.
            kind: its kind, as `encoder.kind` of a recipe names it.
            adapter: from frames of the encoder to embeddings.

        Raises:
            WeightsError: the adapter does not fit the encoder.
        """
        super().__init__()
        if adapter.config["width"] != speech_encoder.width:
            raise WeightsError(
                f"the adapter takes frames of {adapter.config['width']} dimensions, and the encoder gives "
                f"{speech_encoder.width}: make the adapter for this encoder, or take the one that it was made for"
            )
        self.speech_encoder, self.kind = speech_encoder, kind
        self.encoder, self.adapter = speech_encoder.network, adapter

    @classmethod
    def from_folder(cls, folder: str | Path) -> SpeechEmbedder:
        """Load encoder and adapter of a speech language model.

        Raises WeightsError if a part is missing or does not fit the others.
        """
        path, config = Path(folder), read_front_config(folder)
        try:
            weights, adapter = load_file(path / ADAPTER), SpeechAdapter(config["adapter"])
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise explain_none(path, error) from error
        if not shapes_fit(weights, adapter):
            raise WeightsError(f"{path / ADAPTER} does not fit {path / CONFIG}: use the files of one model")
        adapter.load_state_dict(weights)
        part = config["encoder"]
        return SpeechEmbedder(
            load_speech_encoder(part["kind"], str(path / ENCODER), part["layer"]), part["kind"], adapter
        )

    def save_front(self, path: Path) -> None:
        """Write encoder and adapter into a folder, from which `from_folder` loads them."""
        path.mkdir(parents=True, exist_ok=True)
        encoder = EncoderPart(kind=self.kind, layer=self.speech_encoder.layer)
        config = FrontConfig(model_type=MODEL_TYPE, encoder=encoder, adapter=self.adapter.config)
        (path / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
        weights = {name: weight.detach().cpu().contiguous() for name, weight in self.adapter.state_dict().items()}
        save_file(weights, path / ADAPTER)
        self.speech_encoder.save(path / ENCODER)

    def for_inference(self) -> Self:
        """Return this model without dropout, on the device of its encoder."""
        self.eval()
        return self.to(self.speech_encoder.device)

    @torch.inference_mode()
    def embed(self, waves: Sequence[np.ndarray]) -> list[Tensor]:
        """Return the embeddings (T, D) of waves (samples,) at 16 kHz; raises ValueError for a length it refuses.

        On a CPU each is computed alone; on a GPU a batch does not change it (1e-4 of its scale).
        """
        encoder = self.speech_encoder
        for wave in waves:
            encoder.check(wave)
        found: dict[int, Tensor] = {}
        for batch in plan_batches([encoder.count_frames(len(wave)) for wave in waves], encoder.batch_frames):
            found |= zip(batch, self.embed_stems([encoder.compute_stem(waves[index]) for index in batch]), strict=True)
        return [found[index] for index in range(len(waves))]

    def embed_stems(self, stems: Sequence[Tensor]) -> list[Tensor]:
        """Return the embeddings (T, D) of stems (T, C), which a batch does not change (1e-4 of their scale)."""
        if not stems:
            return []
        padded, mask = pad(stems)
        embeddings, kept = self.adapter(self.speech_encoder.transform(padded, mask), mask)
        if kept is None:
            return list(embeddings)
        return [one[inside] for one, inside in zip(embeddings, kept, strict=True)]
