"""Pairs of a policy that hears speech: their recordings are embedded once, and stand as ids in the prompts.

An embedding has an id behind those of the vocabulary. So TRL, and the packing of pairs, see token ids as always, and
only the table of embeddings of the language model knows the difference. Encoder and adapter do not learn.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from datasets import Dataset
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from factory.corpora.audio import read
from factory.corpora.base import AudioError
from factory.models.speech_config import ADAPTER, CONFIG, ENCODER, LLM
from factory.models.speech_embedder import SpeechEmbedder
from schemas.sequences import EOSP, SOSP
from trainers.checks import check_pairs, check_tokens, nothing_fits, read_texts
from trainers.errors import TrainingError
from trainers.launch import pulse
from trainers.publish import saver
from trainers.workers import rank, wait_for_all

HEARD = -1
"""Stands in a prompt where an embedding does."""
PAIRS, SPEECH, COUNTS = "heard.parquet", "heard.safetensors", "heard.json"
SIDES = ("chosen", "rejected")
_PLACE = SOSP + EOSP


class HeardPairs(NamedTuple):
    """Pairs as token ids, and the embeddings that some of the ids stand for."""

    pairs: Dataset
    """`prompt_ids`, `chosen_ids` and `rejected_ids`, as TRL's collator takes them."""
    speech: Tensor
    """(N, D): the id `vocabulary + n` stands for row n."""
    left_out: dict[str, int]
    """Pairs that were left out, by reason: `too_long`, or the slug of a recording that cannot be used."""


class HeardPrompt(NamedTuple):
    """A prompt with its recording."""

    ids: list[int]
    """Token ids; HEARD where an embedding stands."""
    speech: Tensor
    """The embeddings (N, D), in their order."""


class Hearer(Protocol):
    """The part of a policy that hears: it writes a prompt and its recording as ids and embeddings."""

    @property
    def end(self) -> int:
        """The token that ends a completion."""

    def check(self, rows: Sequence[Mapping[str, str]], path: Path) -> None:
        """Raise TrainingError if the policy cannot read the texts of a pair of the file `path`."""

    def hear(self, prompt: str, wave: np.ndarray) -> HeardPrompt:
        """Return a prompt with its recording (samples,) at 16 kHz; raises ValueError for a length it refuses."""


class SpeechHearer:
    """Encoder and adapter of a speech language model, with the tokenizer of its language model."""

    def __init__(self, policy: Path, tokenizer: PreTrainedTokenizerBase) -> None:
        """Load them from the folder `policy`."""
        self.policy, self.tokenizer = policy, tokenizer
        self.embedder = SpeechEmbedder.from_folder(policy).for_inference()

    @property
    def end(self) -> int:
        """The end token."""
        return cast(int, self.tokenizer.eos_token_id)

    def check(self, rows: Sequence[Mapping[str, str]], path: Path) -> None:
        """Raise TrainingError if a token is unknown, or a prompt has not one place for speech."""
        check_tokens((text for row in rows for text in row.values()), self.tokenizer.get_vocab(), str(self.policy))
        for index, row in enumerate(rows):
            if row["prompt"].count(_PLACE) != 1:
                raise TrainingError(
                    f"the prompt of row {index} of {path} has not one place for speech ({_PLACE}): write the pairs "
                    "again with select"
                )

    def hear(self, prompt: str, wave: np.ndarray) -> HeardPrompt:
        """Return a prompt with the embeddings of its recording between start and end of speech."""
        [speech] = self.embedder.embed([wave])
        before, _, after = prompt.partition(_PLACE)
        ids = [*encode(before + SOSP, self.tokenizer), *[HEARD] * len(speech), *encode(EOSP + after, self.tokenizer)]
        return HeardPrompt(ids, speech.cpu())


def hears(policy: Path) -> bool:
    """Return True if the folder is that of a speech language model."""
    return (policy / LLM).is_dir()


def read_heard_pairs(
    path: Path,
    open_hearer: Callable[[], Hearer],
    tokenizer: PreTrainedTokenizerBase,
    vocabulary: int,
    longest: int,
    work: Path,
) -> HeardPairs:
    """Return the pairs of a file; the first worker embeds their recordings, unless `work` has the embeddings.

    Args:
        path: Parquet with the columns prompt, chosen, rejected and audio.
        open_hearer: loads the part of the policy that hears.
        tokenizer: the tokenizer of its language model.
        vocabulary: the size of its table of embeddings.
        longest: embeddings and tokens of the longest sequence.
        work: a folder that all workers see.

    Raises:
        TrainingError: the file cannot be read, a pair cannot be used, or no pair is left.
    """
    if rank() == 0 and not (work / COUNTS).exists():
        _write_heard_pairs(path, open_hearer(), tokenizer, vocabulary, longest, work)
    wait_for_all()
    dataset = Dataset.from_parquet(str(work / PAIRS), cache_dir=str(work / "cache"))
    left_out = json.loads((work / COUNTS).read_text())
    return HeardPairs(cast(Dataset, dataset), load_file(work / SPEECH)["speech"], left_out)


def _write_heard_pairs(
    path: Path, hearer: Hearer, tokenizer: PreTrainedTokenizerBase, vocabulary: int, longest: int, work: Path
) -> None:
    rows = read_texts(path, ("prompt", *SIDES))
    check_pairs(rows, str(path))
    audio = _read_audio(path)
    hearer.check(rows, path)
    left_out: Counter[str] = Counter()
    kept: list[dict[str, list[int]]] = []
    speech: list[Tensor] = []
    first = vocabulary
    for index, row in enumerate(rows):
        if index % 32 == 0:
            pulse(work, f"embedding the recordings of {len(rows):,} pairs: {index:,}")
        heard = _hear(hearer, row["prompt"], audio[index].as_py(), left_out)
        if heard is None:
            continue
        places = iter(range(first, first + len(heard.speech)))
        prompt_ids = [next(places) if token == HEARD else token for token in heard.ids]
        sides = {f"{side}_ids": [*encode(row[side], tokenizer), hearer.end] for side in SIDES}
        if len(prompt_ids) + max(map(len, sides.values())) > longest:
            left_out["too_long"] += 1
            continue
        kept.append({"prompt_ids": prompt_ids, **sides})
        speech.append(heard.speech)
        first += len(heard.speech)
    if not kept:
        if set(left_out) == {"too_long"}:
            raise nothing_fits("pairs", str(path), longest, [longest] * len(rows))
        raise TrainingError(f"{path} has no pair with a recording that can be used: {dict(left_out)}")
    pq.write_table(pa.Table.from_pylist(kept), work / PAIRS)
    save_file({"speech": torch.cat(speech).clone()}, work / SPEECH)
    (work / COUNTS).write_text(json.dumps(left_out))


def _hear(hearer: Hearer, prompt: str, audio: dict[str, Any] | None, left_out: Counter[str]) -> HeardPrompt | None:
    """Return a prompt with its recording; None, and a count in `left_out`, if the recording cannot be used."""
    try:
        if audio is None:
            raise AudioError("no_audio", "the pair has no recording")
        return hearer.hear(prompt, read(audio))
    except AudioError as error:
        left_out[error.slug] += 1
    except ValueError:
        left_out["refused_length"] += 1
    return None


def encode(text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the token ids of a text."""
    return cast(list[int], tokenizer(text, add_special_tokens=False)["input_ids"])


def _read_audio(path: Path) -> pa.ChunkedArray:
    try:
        return pq.read_table(path, columns=["audio"])["audio"]
    except (OSError, pa.ArrowException, KeyError) as error:
        raise TrainingError(
            f"{path} has no column audio ({error}), which a policy that hears needs: give pairs with their "
            "recordings, or a policy of units"
        ) from error


def count_embeddings(model: PreTrainedModel) -> int:
    """Return the rows of the table of embeddings, which may be larger than the vocabulary."""
    return int(cast(Any, model).get_input_embeddings().weight.shape[0])


def let_hear(model: PreTrainedModel, speech: Tensor) -> None:
    """Let the table of embeddings of a language model give row n of `speech` (N, D) for the id `vocabulary + n`."""
    table = cast(Any, model).get_input_embeddings()
    size = count_embeddings(model)
    last: list[Tensor] = []

    def enter(_module: object, args: tuple[Tensor, ...]) -> tuple[Tensor]:
        last[:] = [args[0]]
        return (args[0].clamp(max=size - 1),)

    def leave(_module: object, _args: object, output: Tensor) -> Tensor:
        [ids] = last
        rows = (ids - size).clamp(min=0).to(speech.device)
        return torch.where((ids >= size)[..., None], speech[rows].to(output), output)

    table.register_forward_pre_hook(enter)
    table.register_forward_hook(leave)


def speech_saver(policy: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Callable[[Path], None]:
    """Return what writes a speech language model: encoder and adapter of `policy`, with another language model."""

    def save(folder: Path) -> None:
        """Write the whole folder."""
        folder.mkdir(parents=True)
        for name in (CONFIG, ADAPTER):
            shutil.copy(policy / name, folder / name)
        shutil.copytree(policy / ENCODER, folder / ENCODER)
        saver(model, tokenizer)(folder / LLM)

    return save
