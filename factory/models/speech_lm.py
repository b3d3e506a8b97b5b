"""A speech language model: a speech encoder, an adapter and any causal language model, which hears continuous speech.

    model = SpeechLM.from_pretrained("runs/part/round-0/policy")
    [embeddings] = model.embed([wave])           # (T, D), for vLLM's prompt embeddings

The shape is that of PART (arXiv 2509.19745) and of most audio LLMs. Speech takes the place of the units of a prompt:
`<|asr|><|fr|><|fr|><|sosp|>` embeddings `<|eosp|>`. A folder holds everything: `config.json`, `adapter.safetensors`,
`encoder/` and `llm/` with its tokenizer.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from factory.models.padded import pad
from factory.models.speech_adapter import SpeechAdapter, embedding_scale
from factory.models.speech_config import LLM, AdapterConfig
from factory.models.speech_embedder import SpeechEmbedder
from factory.models.speech_encoder import SpeechEncoder
from factory.models.weights import WeightsError

IGNORED = -100
"""The label of a position that is not learned."""


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


class SpeechLM(SpeechEmbedder):
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
        super().__init__(speech_encoder, kind, adapter)
        width = token_embeddings(llm).shape[1]
        if adapter.config["out"] != width:
            raise WeightsError(
                f"the adapter gives embeddings of {adapter.config['out']} dimensions, and the language model takes "
                f"{width}: make the adapter for this language model, or take the one that it was made for"
            )
        self.llm, self.tokenizer = llm, tokenizer

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
        front = SpeechEmbedder.from_folder(path)
        model, tokenizer = _load_llm(path / LLM)
        return cls(front.speech_encoder, front.kind, model, tokenizer, front.adapter)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the folder that `from_pretrained` reads."""
        path = Path(folder)
        self.save_front(path)
        self.llm.save_pretrained(path / LLM)
        self.tokenizer.save_pretrained(path / LLM)

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
