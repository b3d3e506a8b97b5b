"""Toy models that tests share: random weights in real file formats, made in a second or two."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.sequences import EOS, PAD, UNK, special_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SENTENCES = [
    "where is the station",
    "the train leaves at nine in the morning",
    "i would like a cup of coffee please",
    "how much does this cost",
    "où se trouve la gare",
    "le train part à neuf heures du matin",
    "je voudrais une tasse de café s'il vous plaît",
    "combien cela coûte-t-il",
]


def tiny_policy(
    path: Path,
    num_units: int = 50,
    langs: Sequence[str] = ("fr", "en"),
    layers: int = 2,
    hidden: int = 64,
    seed: int = 0,
    context: int = 512,
) -> Path:
    """Write a random Llama with tied embeddings and its tokenizer in the format of Hugging Face.

    Args:
        path: the folder to write.
        num_units: the number of units in the vocabulary.
        langs: the languages in the vocabulary.
        layers: the number of layers.
        hidden: the width, a multiple of 32, because vLLM on a CPU needs heads of 32 dimensions or more.
        seed: of the weights.
        context: tokens of the longest sequence.

    Returns:
        The folder.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    path.mkdir(parents=True, exist_ok=True)
    tokenizer = tiny_tokenizer(num_units, langs)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 32,
        num_key_value_heads=hidden // 32,
        max_position_embeddings=context,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        LlamaForCausalLM(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def tiny_tokenizer(
    num_units: int = 50, langs: Sequence[str] = ("fr", "en"), sentences: Sequence[str] = SENTENCES
) -> PreTrainedTokenizerFast:
    """Return a tokenizer with the added tokens of a policy.

    Args:
        num_units: the number of units.
        langs: the languages.
        sentences: the training set of its BPE over Metaspace words.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = special_tokens(num_units, langs)
    bpe = Tokenizer(models.BPE(unk_token=UNK))
    bpe.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    bpe.decoder = decoders.Metaspace(prepend_scheme="always")
    bpe.train_from_iterator(
        sentences, trainers.BpeTrainer(vocab_size=300, special_tokens=[PAD, EOS, UNK], show_progress=False)
    )
    bpe.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=EOS, pad_token=PAD, unk_token=UNK)


def tiny_vits(folder: Path) -> Path:
    """Write a random VITS voice at 16 kHz with a tokenizer of a few letters, and return its folder."""
    import torch
    from transformers import VitsConfig, VitsModel, VitsTokenizer

    letters = {letter: index for index, letter in enumerate("_ abcdehiknorstuwy")}
    (folder / "letters.json").write_text(json.dumps(letters))
    settings = {"pad_token": "_", "unk_token": None, "phonemize": False, "is_uroman": False}
    VitsTokenizer(str(folder / "letters.json"), **settings).save_pretrained(folder)
    sizes = {
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "ffn_dim": 32,
        "flow_size": 32,
        "spectrogram_bins": 33,
        "upsample_initial_channel": 32,
        "prior_encoder_num_flows": 1,
        "posterior_encoder_num_wavenet_layers": 1,
        "prior_encoder_num_wavenet_layers": 1,
        "duration_predictor_num_flows": 1,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        VitsModel(VitsConfig(vocab_size=len(letters) + 1, **sizes)).save_pretrained(folder)
    return folder


def tiny_audio_llm(folder: Path, seed: int = 0) -> Path:
    """Write a random Qwen2-Audio with its processor and a tokenizer of words, and return its folder.

    Its vocabulary is so small that most of its random texts end.
    """
    import torch
    from safetensors.torch import load_file, save_file
    from transformers import (
        Qwen2AudioConfig,
        Qwen2AudioForConditionalGeneration,
        Qwen2AudioProcessor,
        WhisperFeatureExtractor,
    )

    tokenizer = _tiny_chat_tokenizer()
    heads = {"num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2}
    text = {"model_type": "qwen2", "vocab_size": len(tokenizer), "hidden_size": 64, "intermediate_size": 128, **heads}
    text |= {"max_position_embeddings": 512, "tie_word_embeddings": False, "initializer_range": 0.2}
    tower = {
        "d_model": 32,
        "encoder_layers": 1,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 32,
        "num_mel_bins": 16,
    }
    audio = {"model_type": "qwen2_audio_encoder", "max_source_positions": 1500, **tower}
    config = Qwen2AudioConfig(audio_config=audio, text_config=text, audio_token_index=tokenizer.vocab["<|AUDIO|>"])
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Qwen2AudioForConditionalGeneration(config)
        model.lm_head.weight.data *= 0.5
    model.generation_config.eos_token_id = tokenizer.vocab["<|im_end|>"]
    model.save_pretrained(folder)
    weights = load_file(
        folder / "model.safetensors"
    )  # transformers 5.19 writes names that vLLM and the hub do not have
    weights = {name.replace("language_model.model.model.", "language_model.model."): weights[name] for name in weights}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    Qwen2AudioProcessor(WhisperFeatureExtractor(feature_size=16), tokenizer).save_pretrained(folder)
    return folder


def _tiny_chat_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer of a few words, with the special tokens of Qwen2-Audio's chats."""
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["<|endoftext|>", "<unk>", "<|im_start|>", "<|im_end|>", "<|audio_bos|>", "<|AUDIO|>", "<|audio_eos|>"]
    words = ["where", "is", "the", "station", "où", "se", "trouve", "la", "gare", "French", "English", "speech", "text"]
    model = models.WordLevel({word: index for index, word in enumerate([*special, *words])}, unk_token="<unk>")
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", unk_token="<unk>"
    )
