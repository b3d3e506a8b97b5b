"""Preference training of a policy that hears continuous speech: recordings are embedded once, the loss is TRL's."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from factory.corpora.audio import encode
from factory.models.speech_lm import SpeechLM
from factory.models.weights import policy_digest
from factory.recipe.part import PartConfig
from factory.recipe.training import Loss, PreferenceConfig
from schemas.datasets import UTTERANCE, Row
from schemas.sequences import Variant, prompt
from tests.trainers.test_part import speak, speech_policy
from tests.trainers.toys import WORDS, interrupt_preference, read_curve
from trainers.errors import TrainingError
from trainers.preference import train_preference
from trainers.spoken_pairs import SpeechHearer, let_hear, read_heard_pairs

QUICK = PreferenceConfig(batch=8, epochs=2, lr=5e-3, held_out=0.2, save_every=2, precision="fp32")


def heard_pair(number: int) -> Row:
    """Return a pair whose chosen side says the words backwards, and whose rejected side repeats one of them."""
    chance = random.Random(number)
    words = chance.sample(list(WORDS), chance.randint(2, 4))
    audio = {"bytes": encode(speak(words), "FLAC"), "path": None}
    sides = {"chosen": " ".join(reversed(words)), "rejected": " ".join([words[0]] * len(words))}
    return {"pair_id": str(number), "prompt": prompt(Variant.S2T, "fr", "en", ()), **sides, "audio": audio}


def write(path: Path, rows: list[Row]) -> Path:
    schema = pa.schema([(name, pa.string()) for name in ("pair_id", "prompt", "chosen", "rejected")])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema.append(UTTERANCE.field("audio"))), path)
    return path


@pytest.fixture(scope="module")
def policy(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return speech_policy(tmp_path_factory.mktemp("speech"), tiny, PartConfig())


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data") / "pairs.parquet", [heard_pair(number) for number in range(40)])


def test_a_training_changes_the_language_model_alone(policy: Path, pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "policy"
    summary = train_preference(pairs, policy, out, QUICK, seed=2)
    assert summary["first_loss"] == pytest.approx(math.log(2), abs=1e-4)
    assert (summary["pairs"], summary["too_long"], summary["step"]) == (40, 0, 8)
    assert "left_out" not in summary
    losses = [line["loss"] for line in read_curve(out) if "loss" in line]
    assert losses[:2] == pytest.approx([math.log(2)] * 2, abs=1e-6), "the first rate is 0"
    assert losses[-1] < losses[2] < losses[0]
    assert summary["held_out"] is not None and summary["held_out"]["eval_rewards/margins"] > 0
    before, after = (dict(SpeechLM.from_pretrained(folder).state_dict()) for folder in (policy, out))
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if name.startswith("llm.") and "_proj" in name}
    assert policy_digest(out) != policy_digest(policy)
    assert [path.name for path in tmp_path.iterdir()] == ["policy"], "embeddings are removed with the work folder"


def test_a_killed_training_goes_on_with_the_same_embeddings(policy: Path, pairs: Path, tmp_path: Path) -> None:
    train_preference(pairs, policy, tmp_path / "whole", QUICK, seed=4)
    with interrupt_preference(4):
        train_preference(pairs, policy, tmp_path / "halves", QUICK, seed=4)
    embeddings = tmp_path / "halves.work/heard.safetensors"
    made = embeddings.stat().st_mtime_ns
    with interrupt_preference(6):
        train_preference(pairs, policy, tmp_path / "halves", QUICK, seed=4)
    assert embeddings.stat().st_mtime_ns == made, "embedded once"
    train_preference(pairs, policy, tmp_path / "halves", QUICK, seed=4)
    whole, halves = (load_file(tmp_path / name / "llm/model.safetensors") for name in ("whole", "halves"))
    assert all(torch.equal(whole[name], halves[name]) for name in whole)
    assert read_curve(tmp_path / "whole")[-1]["step"] == read_curve(tmp_path / "halves")[-1]["step"]


def test_ids_of_speech_are_computed_as_its_embeddings(policy: Path, pairs: Path, tmp_path: Path) -> None:
    model = SpeechLM.from_pretrained(policy)
    llm = AutoModelForCausalLM.from_pretrained(policy / "llm")
    table = llm.get_input_embeddings().weight.detach()
    heard = read_heard_pairs(
        pairs, partial(SpeechHearer, policy, model.tokenizer), model.tokenizer, len(table), 128, tmp_path
    )
    let_hear(llm, heard.speech)
    row = heard_pair(3)
    [speech] = model.embed([speak(row["chosen"].split()[::-1])])
    before, after = (
        table[torch.tensor(model.tokenizer(text, add_special_tokens=False)["input_ids"])]
        for text in ("<|s2t|><|fr|><|en|><|sosp|>", f"<|eosp|>{row['chosen']}<|eos|>")
    )
    ids = torch.tensor([heard.pairs[3]["prompt_ids"] + heard.pairs[3]["chosen_ids"]])
    assert int((ids >= len(table)).sum()) == len(speech)
    with torch.no_grad():
        by_ids = llm(input_ids=ids).logits
        by_embeddings = llm(inputs_embeds=torch.cat([before, speech, after])[None]).logits
    torch.testing.assert_close(by_ids, by_embeddings, atol=1e-4, rtol=1e-4)


def test_recordings_that_cannot_be_used_are_counted(policy: Path, pairs: Path, tmp_path: Path) -> None:
    good = [heard_pair(number) for number in range(8)]
    torn = heard_pair(8) | {"audio": {"bytes": b"RIFFxx", "path": None}}
    silent = heard_pair(9) | {"audio": None}
    wordy = heard_pair(10) | {"rejected": "gare " * 200}
    path = write(tmp_path / "some.parquet", [*good, torn, silent, wordy])
    summary = train_preference(path, policy, tmp_path / "out", replace(QUICK, epochs=1))
    assert (summary["pairs"], summary["too_long"]) == (8, 1)
    assert sum(summary["left_out"].values()) == 2 and summary["left_out"]["no_audio"] == 1
    with pytest.raises(TrainingError, match=r"has no pair with a recording that can be used: .*'no_audio': 1"):
        train_preference(write(tmp_path / "none.parquet", [silent]), policy, tmp_path / "none", QUICK)
    with pytest.raises(TrainingError, match="none of the 1 pairs .* fits into 128 tokens"):
        train_preference(write(tmp_path / "long.parquet", [wordy]), policy, tmp_path / "long", QUICK)


def test_pairs_that_do_not_fit_the_policy_are_refused(policy: Path, tmp_path: Path) -> None:
    units = heard_pair(1) | {"prompt": prompt(Variant.S2T, "fr", "en", [1, 2])}
    with pytest.raises(TrainingError, match="row 0 of .* has not one place for speech"):
        train_preference(write(tmp_path / "units.parquet", [units]), policy, tmp_path / "units", QUICK)
    bare = tmp_path / "bare.parquet"
    pq.write_table(pa.Table.from_pylist([{key: units[key] for key in ("prompt", "chosen", "rejected")}]), bare)
    with pytest.raises(TrainingError, match="has no column audio"):
        train_preference(bare, policy, tmp_path / "bare", QUICK)
    simpo = replace(QUICK, loss=Loss.SIMPO)
    with pytest.raises(TrainingError, match="a policy that hears is trained with preference.loss: dpo"):
        train_preference(write(tmp_path / "one.parquet", [heard_pair(1)]), policy, tmp_path / "simpo", simpo)
