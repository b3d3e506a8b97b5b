"""A speech language model: a speech encoder, an adapter and any causal language model, which hears continuous speech.

    model = SpeechLM.from_pretrained("runs/part/round-0/policy")
    [embeddings] = model.embed([wave])           # (T, D), for vLLM's prompt embeddings

The shape is that of PART (arXiv 2509.19745) and of most audio LLMs. Speech takes the place of the units of a prompt:
`<|asr|><|fr|><|fr|><|sosp|>` embeddings `<|eosp|>`. A folder holds everything: `config.json`, `adapter.safetensors`,
`encoder/` and `llm/` with its tokenizer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, cast

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from factory.models.padded import pad
from factory.models.speech_adapter import AdapterConfig, SpeechAdapter, embedding_scale, shapes_fit
from factory.models.speech_encoder import SpeechEncoder
from factory.models.speech_encoders import load_speech_encoder
from factory.models.weights import WeightsError

CONFIG, ADAPTER, ENCODER, LLM = "config.json", "adapter.safetensors", "encoder", "llm"
MODEL_TYPE = "roundtrip_speech_lm"
IGNORED = -100
"""The label of a position that is not learned."""


class EncoderPart(TypedDict):
    """What the encoder of a speech language model is; its weights are in the folder."""

    kind: str
    layer: int


class Sequences(NamedTuple):
    """B sequences of embeddings, padded on the right."""

    embeddings: Tensor
    """(B, T, D)."""
    labels: Tensor
    """The token ids (B, T) to learn; IGNORED where nothing is learned."""


class Spoken(NamedTuple):
    """One sequence: token ids, speech between them, and the completion that is learned."""

    before: Tensor
    """Token ids of the prompt before the speech; the whole prompt where nothing is spoken."""
    stem: Tensor | None
    """What the encoder's stem computed of the wave (T, C); None where nothing is spoken."""
    after: Tensor
    """Token ids of the prompt behind the speech."""
    completion: Tensor
    """Token ids that are learned, with the end token; empty in generation."""


class SpeechLM(nn.Module):
    """An encoder, an adapter and a language model. The names of weights begin with `encoder.`, `adapter.` or `llm.`."""

    def __init__(
        self,
        speech_encoder: SpeechEncoder,
        kind: str,
        llm: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        adapter: SpeechAdapter,
    ) -> None:
        """Join the parts.

        Args:
            speech_encoder: the encoder.
            kind: its kind, as `encoder.kind` of a recipe names it.
            llm: the language model.
            tokenizer: its tokenizer.
            adapter: from frames of the encoder to embeddings of the language model.

        Raises:
            WeightsError: the adapter does not fit the encoder or the language model.
        """
        super().__init__()
        width = token_embeddings(llm).shape[1]
        if (adapter.config["width"], adapter.config["out"]) != (speech_encoder.width, width):
            raise WeightsError(
                f"the adapter takes frames of {adapter.config['width']} dimensions and gives {adapter.config['out']}, "
                f"but the encoder gives {speech_encoder.width} and the language model takes {width}: make the adapter "
                "for these two, or change one of them"
            )
        self.speech_encoder, self.kind, self.tokenizer = speech_encoder, kind, tokenizer
        self.encoder, self.adapter, self.llm = speech_encoder.network, adapter, llm

    @classmethod
    def create(
        cls,
        speech_encoder: SpeechEncoder,
        kind: str,
        llm: str | Path,
        *,
        layers: int = 2,
        stride: int = 4,
        seed: int = 0,
    ) -> SpeechLM:
        """Join an encoder and a language model by a new adapter.

        Args:
            speech_encoder: the encoder.
            kind: its kind.
            llm: the folder or Hub name of a language model whose tokenizer knows the tags of the factory.
            layers: transformer layers of the adapter.
            stride: frames per embedding.
            seed: of the adapter's weights.
        """
        model, tokenizer = _load_llm(llm)
        table = token_embeddings(model)
        shape = AdapterConfig(width=speech_encoder.width, out=table.shape[1], layers=layers, stride=stride)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            adapter = SpeechAdapter(shape, embedding_scale(table))
        return cls(speech_encoder, kind, model, tokenizer, adapter)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> SpeechLM:
        """Load a folder. Raises WeightsError if a part is missing or does not fit the others."""
        path = Path(folder)
        try:
            config = json.loads((path / CONFIG).read_text("utf-8"))
            part, shape = cast(EncoderPart, config["encoder"]), cast(AdapterConfig, config["adapter"])
            weights, adapter = load_file(path / ADAPTER), SpeechAdapter(shape)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise WeightsError(
                f"{path} is no speech language model ({type(error).__name__}: {error}): expected {CONFIG}, {ADAPTER}, "
                f"{ENCODER}/ and {LLM}/, as a training writes them"
            ) from error
        if not shapes_fit(weights, adapter):
            raise WeightsError(f"{path / ADAPTER} does not fit {path / CONFIG}: use the files of one model")
        adapter.load_state_dict(weights)
        encoder = load_speech_encoder(part["kind"], str(path / ENCODER), part["layer"])
        model, tokenizer = _load_llm(path / LLM)
        return cls(encoder, part["kind"], model, tokenizer, adapter)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the folder that `from_pretrained` reads."""
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        encoder = EncoderPart(kind=self.kind, layer=self.speech_encoder.layer)
        config = {"model_type": MODEL_TYPE, "encoder": encoder, "adapter": self.adapter.config}
        (path / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
        weights = {name: weight.detach().cpu().contiguous() for name, weight in self.adapter.state_dict().items()}
        save_file(weights, path / ADAPTER)
        self.speech_encoder.save(path / ENCODER)
        self.llm.save_pretrained(path / LLM)
        self.tokenizer.save_pretrained(path / LLM)

    @torch.inference_mode()
    def embed(self, waves: Sequence[np.ndarray]) -> list[Tensor]:
        """Return the embeddings (T, D) of waves (samples,) at 16 kHz; raises ValueError for a length it refuses."""
        for wave in waves:
            self.speech_encoder.check(wave)
        return self.embed_stems([self.speech_encoder.compute_stem(wave) for wave in waves])

    def embed_stems(self, stems: Sequence[Tensor]) -> list[Tensor]:
        """Return the embeddings (T, D) of stems (T, C), which a batch does not change (1e-4 of their scale)."""
        if not stems:
            return []
        padded, mask = pad(stems)
        embeddings, kept = self.adapter(self.speech_encoder.transform(padded, mask), mask)
        if kept is None:
            return list(embeddings)
        return [one[inside] for one, inside in zip(embeddings, kept, strict=True)]

    def join(self, rows: Sequence[Spoken]) -> Sequences:
        """Return the sequences of a batch: embeddings of tokens and speech in their order."""
        spoken = iter(self.embed_stems([row.stem for row in rows if row.stem is not None]))
        table = token_embeddings(self.llm)
        embeddings, labels = [], []
        for row in rows:
            speech = next(spoken) if row.stem is not None else table[:0]
            parts = (table[row.before], speech, table[row.after], table[row.completion])
            embeddings.append(torch.cat(parts))
            prompt = len(embeddings[-1]) - len(row.completion)
            labels.append(torch.cat([torch.full((prompt,), IGNORED, device=row.before.device), row.completion]))
        padded, _ = pad(embeddings)
        return Sequences(padded, nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=IGNORED))

    def forward(self, rows: Sequence[Spoken]) -> tuple[Tensor, int]:
        """Return the cross entropy of the completions of a batch: its sum in nats, and the number of tokens."""
        sequences = self.join(rows)
        following = sequences.labels[:, 1:]
        learned = following != IGNORED
        network: Any = self.llm
        hidden = network.model(inputs_embeds=sequences.embeddings, use_cache=False).last_hidden_state[:, :-1]
        logits = network.lm_head(hidden[learned])
        return nn.functional.cross_entropy(logits.float(), following[learned], reduction="sum"), int(learned.sum())


def token_embeddings(llm: PreTrainedModel) -> Tensor:
    """Return the embeddings of the tokens of a language model (V, D)."""
    return cast(Tensor, cast(Any, llm).get_input_embeddings().weight)


def _load_llm(name: str | Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    try:
        model = AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32)
        return cast(PreTrainedModel, model), AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError, KeyError) as error:
        first_line = str(error).strip().split("\n", 1)[0]
        raise WeightsError(f"{name} is not a causal language model with its tokenizer ({first_line})") from error
