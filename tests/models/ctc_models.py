"""Tiny random CTC models of each class that a recipe can name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

CLASSES = ("Wav2Vec2ForCTC", "HubertForCTC", "Wav2Vec2BertForCTC")
VOCABULARY = ("<pad>", "<unk>", "|", *"abcdefghijklmnopqrstuvwxyz'")


def save_ctc(folder: Path, name: str = "Wav2Vec2ForCTC", vocabulary: Sequence[str] = VOCABULARY) -> Path:
    """Save a random CTC model of two layers with its feature extractor and its vocabulary; return the folder."""
    import transformers

    library: Any = transformers  # parts of it have no types

    folder.mkdir(parents=True, exist_ok=True)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    torch.manual_seed(0)
    if name == "Wav2Vec2BertForCTC":
        config = library.Wav2Vec2BertConfig(**sizes, vocab_size=len(vocabulary), output_hidden_size=16)
        extractor = library.SeamlessM4TFeatureExtractor()
    else:
        kind = getattr(library, name.replace("ForCTC", "Config"))
        front = {"conv_dim": (8,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
        config = kind(**sizes, **front, vocab_size=len(vocabulary))
        extractor = library.Wav2Vec2FeatureExtractor()
    getattr(library, name)(config).save_pretrained(folder)
    extractor.save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(vocabulary)}))
    library.Wav2Vec2CTCTokenizer(
        str(folder / "vocab.json"), pad_token="<pad>", unk_token="<unk>", bos_token=None, eos_token=None
    ).save_pretrained(folder)
    return folder
