"""Exports: what others load is what the run holds, in every format, in a folder and on a Hub."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from tests.export.hub import TOKEN, Hub, serving

from factory.export.card import licence
from factory.export.export import export_pairs, export_policy
from factory.export.hub import ExportError
from factory.export.layout import split_of
from factory.listen.judgements import keep
from factory.planning.places import Run
from factory.storage.files import files_below, filesystem, put
from factory.storage.manifest import StoreError
from schemas.sequences import Variant, parse
from tests.limits import HANG_S
from tests.s3 import s3_server
from tests.toy_run import ROOT, toy_recipe, toy_run
from tests.toys import tiny_policy


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, local_ray: None) -> Run:
    made = toy_run(tmp_path_factory.mktemp("run"), count=12)
    policy = Path(made.made_policy(1))
    tiny_policy(policy)
    (policy / "training.json").write_text(json.dumps({"settings": {"loss": "dpo"}, "pairs": 10}))
    for verdict in ("a", "same"):
        keep(
            made,
            1,
            {"rater": "someone", "utt_id": f"u-{verdict}", "src_lang": "fr", "tgt_lang": "en", "verdict": verdict},
        )
    (policy / "adapter").mkdir()
    (policy / "adapter/adapter_config.json").write_text(
        json.dumps({"r": 8, "base_model_name_or_path": "/a/place/here"})
    )
    return made


@pytest.fixture(scope="module")
def exported(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("out") / "set"
    assert export_pairs(run, 1, toy_recipe(), str(place)) == str(place)
    return place


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with serving() as served:
        yield served


def away(hub: Hub, tmp: Path, **changes: str) -> dict[str, str]:
    """Return the environment of a machine that knows the Hub and has a token."""
    told = os.environ | {
        "HF_ENDPOINT": hub.endpoint,
        "HF_TOKEN": TOKEN,
        "HF_HOME": str(tmp / "home"),
        "HF_HUB_OFFLINE": "0",
    }
    return told | {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "0", **changes}


def export(run: Run, to: str, hub: Hub, tmp: Path, *more: str, **changes: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "factory.cli", "export", "--run", run.uri, "--to", to, *more]
    return subprocess.run(
        command, cwd=ROOT, env=away(hub, tmp, **changes), capture_output=True, text=True, timeout=HANG_S
    )


def load(place: str, tmp: Path, config: str = "round-1") -> Any:
    import datasets

    loaded = datasets.load_dataset(place, config, cache_dir=str(tmp / "cache"))
    for name in ("source_audio", "chosen_audio", "rejected_audio"):
        loaded = loaded.cast_column(name, datasets.Audio(decode=False))  # decoding itself asks for torchcodec
    return loaded


def test_load_dataset_reads_what_the_round_holds(run: Run, exported: Path, tmp_path: Path) -> None:
    loaded = load(str(exported), tmp_path)
    rows = {row["pair_id"]: row for split in loaded.values() for row in split}
    pairs = {row["pair_id"]: row for row in run.dataset(1, "pairs").rows(status="ok").to_pylist()}
    assert rows.keys() == pairs.keys() and len(rows) > 8
    for pair_id, row in rows.items():
        pair = pairs[pair_id]
        assert all(row[key] == pair[key] for key in ("prompt", "chosen", "rejected", "margin", "metric"))
        assert (row["chosen_scores"], row["rejected_scores"]) == (pair["chosen_scores"], pair["rejected_scores"])
        assert parse(Variant.COM, row["chosen"]).units == row["chosen_units"]
        assert row["chosen_back_text"].startswith(row["source_text"])
    assert all(split_of(row["utt_id"]) == name for name, split in loaded.items() for row in split)


def test_the_sounds_are_the_recording_and_both_sides(exported: Path, tmp_path: Path) -> None:
    from factory.corpora.opening import open_corpus

    row = load(str(exported), tmp_path)["train"][0]
    waves = {
        name: soundfile.read(io.BytesIO(row[f"{name}_audio"]["bytes"])) for name in ("source", "chosen", "rejected")
    }
    assert all(rate == 16_000 and np.abs(wave).max() > 0.01 for wave, rate in waves.values())
    assert row["chosen_audio"]["bytes"][:4] == b"fLaC"
    recorded = open_corpus(str(ROOT / "assets/phrasebook/mono")).recordings([row["utt_id"]])[row["utt_id"]]
    assert np.allclose(waves["source"][0], recorded, atol=1e-4)


def test_dpo_and_cpo_trainers_take_it_unchanged(run: Run, exported: Path, tmp_path: Path) -> None:
    import datasets
    from transformers import AutoTokenizer
    from trl import DPOConfig, DPOTrainer
    from trl.experimental.cpo import CPOConfig, CPOTrainer

    rows = datasets.load_dataset(
        str(exported), "round-1", split="train", columns=["prompt", "chosen", "rejected"], cache_dir=str(tmp_path)
    )
    policy = tiny_policy(tmp_path / "policy", num_units=100)
    common: dict[str, Any] = {
        "max_steps": 1,
        "per_device_train_batch_size": 2,
        "report_to": "none",
        "use_cpu": True,
        "bf16": False,
    }
    for config, trainer in ((DPOConfig, DPOTrainer), (CPOConfig, CPOTrainer)):
        args = config(output_dir=str(tmp_path / "out"), save_strategy="no", **common)
        tokenizer = AutoTokenizer.from_pretrained(policy)
        trained = trainer(model=str(policy), args=args, train_dataset=rows, processing_class=tokenizer).train()
        assert 0 < trained.training_loss < 20


def test_the_card_has_valid_metadata_and_tells_the_whole_story(run: Run, exported: Path) -> None:
    from datasets import DatasetInfo
    from huggingface_hub import DatasetCard

    card = DatasetCard((exported / "README.md").read_text())
    data = card.data.to_dict()
    assert (data["license"], data["language"], data["size_categories"]) == ("apache-2.0", ["fr", "en"], "n<1K")
    assert data["configs"][0] | {"data_files": 0} == {"config_name": "round-1", "data_files": 0, "default": True}
    assert DatasetInfo._from_yaml_dict(data["dataset_info"][0]).features["chosen_audio"].sampling_rate == 16_000
    for words in ("run_round.py --round 1", "package:whisper-base", "δ = 0.1", "below_delta", "nrefs:1", "## Limits"):
        assert words in card.text
    assert "Audit on 24 utterances" in card.text or "not measured" in card.text
    assert [config["config_name"] for config in data["configs"]] == ["round-1", "round-1-judgements"]
    assert "None" not in card.text and str(run.uri) not in card.text


def test_a_second_round_is_a_second_config(run: Run, exported: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(Path(run.place(1)), Path(run.place(2)), ignore=shutil.ignore_patterns("spoken", "judgements"))
    place = tmp_path / "set"
    shutil.copytree(exported, place)
    export_pairs(run, 2, toy_recipe(), str(place))
    first, second = load(str(place), tmp_path, "round-1"), load(str(place), tmp_path, "round-2")
    assert first["train"]["pair_id"][:] == second["train"]["pair_id"][:]
    assert (place / "README.md").read_text().count("## round-") == 2
    shutil.rmtree(run.place(2))


@pytest.mark.parametrize("format", ["trl", "slamkit", "fairseq", "audiofolder"])
def test_other_formats_hold_the_same_pairs(run: Run, format: str, tmp_path: Path) -> None:
    pairs = {row["pair_id"]: row for row in run.dataset(1, "pairs").rows(status="ok").to_pylist()}
    place = Path(export_pairs(run, 1, toy_recipe(), str(tmp_path / "set"), format=format)) / "data/round-1"
    if format == "fairseq":
        lines = [line.split("\t") for line in (place / "train.tsv").read_text().splitlines()]
        assert lines[0] == ["id", "src_audio", "src_n_frames", "tgt_audio", "tgt_n_frames"]
        for pair_id, audio, frames, units, count in lines[1:]:
            assert soundfile.info(place / audio).frames == int(frames)
            assert list(map(int, units.split())) == parse(Variant.COM, pairs[pair_id]["chosen"]).units and int(
                count
            ) == len(units.split())
        assert f"{lines[1][0]}|{lines[1][3]}" == (place / "train.unit").read_text().splitlines()[0]
        assert (place / "train_rejected.tsv").read_text().count("\n") == len(lines)
    elif format == "audiofolder":
        rows = [json.loads(line) for line in (place / "train/metadata.jsonl").read_text().splitlines()]
        assert {row["pair_id"] for row in rows} <= pairs.keys() and len(rows) > 8
        for row in rows:  # loading it needs torchcodec, so the files are looked at as they lie
            assert all(
                soundfile.info(place / "train" / row[f"{name}_file_name"]).frames
                for name in ("source", "chosen", "rejected")
            )
    else:
        rows = [json.loads(line) for line in (place / "train.jsonl").read_text().splitlines()]
        assert len(rows) == sum(split_of(row["utt_id"]) == "train" for row in pairs.values())
        if format == "trl":
            assert {(row["prompt"], row["chosen"], row["rejected"]) for row in rows} <= {
                (row["prompt"], row["chosen"], row["rejected"]) for row in pairs.values()
            }
        else:
            assert soundfile.info(place / rows[0]["prompt_path"]).samplerate == 16_000
            assert len(rows[0]["chosen"]["units"]) == len(rows[0]["chosen"]["duration"]) > 0


def test_push_interrupt_push_again_load_back_equal(run: Run, exported: Path, hub: Hub, tmp_path: Path) -> None:
    hub.hang_after = 1  # of two: the pairs and the judgements
    command = [sys.executable, "-m", "factory.cli", "export", "--run", run.uri, "--to", "hf://datasets/someone/set"]
    with subprocess.Popen(
        command, cwd=ROOT, env=away(hub, tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as first:
        while not hub.hanging.wait(1):
            assert first.poll() is None, "the export ended before the Hub could hang"
        first.kill()
    assert hub.files("someone/set") == {}
    assert len(hub.uploaded) == 1  # half pushed, nothing published
    hub.hang_after, hub.busy = None, 2
    again = export(run, "hf://datasets/someone/set", hub, tmp_path)
    assert again.returncode == 0, again.stderr[-3000:]
    assert (
        hub.repositories["dataset", "someone/set"].private and hub.repositories["dataset", "someone/set"].commits == 1
    )
    assert (
        len(hub.uploaded) == len(set(hub.uploaded)) == 2 and hub.busy == 0
    )  # what was there was not sent again; 429 was waited for
    code = (
        "import sys; sys.path[:0] = ['tests', 'tests/export']; from test_export import load; from pathlib import Path; "
    )
    code += f"print([row['pair_id'] + row['chosen'] for row in load('someone/set', Path({str(tmp_path)!r}))['train']])"
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=away(hub, tmp_path), capture_output=True, text=True, timeout=HANG_S
    )
    assert told.returncode == 0, told.stderr[-3000:]
    assert told.stdout.strip() == str(
        [row["pair_id"] + row["chosen"] for row in load(str(exported), tmp_path / "local")["train"]]
    )


def test_what_the_hub_refuses_is_said_and_nothing_is_published(run: Run, hub: Hub, tmp_path: Path) -> None:
    to = "hf://datasets/someone/other"
    assert "there is no token" in export(run, to, hub, tmp_path, HF_TOKEN="").stderr
    wrong = export(run, to, hub, tmp_path, HF_TOKEN="hf_wrong")
    assert wrong.returncode == 2 and "does not accept the token" in wrong.stderr and "hf_wrong" not in wrong.stderr
    hub.read_only = True
    refused = export(run, to, hub, tmp_path, "--format", "trl")
    hub.read_only = False
    assert refused.returncode == 2 and "must have write access" in refused.stderr and "Traceback" not in refused.stderr
    assert ("dataset", "someone/other") not in hub.repositories


def test_other_peoples_content_is_left_alone(run: Run, hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    with pytest.raises(ExportError, match="holds other content .notes.txt."):
        export_pairs(run, 1, toy_recipe(), str(tmp_path / "mine"))
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    export_pairs(run, 1, toy_recipe(), str(tmp_path / "set"), format="trl")
    with pytest.raises(ExportError, match="holds another export .format 'trl' there, 'slamkit' asked"):
        export_pairs(run, 1, toy_recipe(), str(tmp_path / "set"), format="slamkit")


def test_the_policy_goes_with_its_card_and_adapter(run: Run, hub: Hub, tmp_path: Path) -> None:
    from huggingface_hub import ModelCard
    from transformers import AutoModelForCausalLM

    told = export(run, "hf://someone/policy", hub, tmp_path, "--policy")
    assert told.returncode == 0, told.stderr[-3000:]
    files = hub.files("someone/policy", "model")
    assert {
        "model.safetensors",
        "config.json",
        "tokenizer.json",
        "adapter/adapter_config.json",
        "README.md",
    } <= files.keys()
    assert json.loads(files["adapter/adapter_config.json"])["base_model_name_or_path"] == "phrasebook-round-0"
    card = ModelCard(files["README.md"].decode())
    assert card.data.eval_results and card.data.eval_results[0].metric_value == 12.5
    place = export_policy(run, 1, toy_recipe(), str(tmp_path / "policy"))
    assert AutoModelForCausalLM.from_pretrained(place).config.num_hidden_layers == 2


def test_bad_requests_are_refused_before_any_work(run: Run, tmp_path: Path) -> None:
    recipe = toy_recipe()
    for to, words in (
        ("hf://someone/set", "is the address of a model"),
        ("hf://datasets/a/b/c", "names no repository"),
    ):
        with pytest.raises(ExportError, match=words):
            export_pairs(run, 1, recipe, to)
    with pytest.raises(ExportError, match="round 0 makes no pairs"):
        export_pairs(run, 0, recipe, str(tmp_path / "set"))
    with pytest.raises(ExportError, match="no vocoder for en"):
        export_pairs(run, 1, replace(recipe, vocoder={"fr": recipe.vocoder["fr"]}), str(tmp_path / "set"))
    with pytest.raises(ExportError, match="has made no policy"):
        export_policy(run, 7, recipe, str(tmp_path / "policy"))
    assert list(tmp_path.iterdir()) == []


def test_an_object_store_holds_what_a_folder_does(run: Run, exported: Path, tmp_path: Path) -> None:
    with s3_server() as bucket:
        to = f"{bucket}/sets/phrasebook"
        fs, path = filesystem(to)
        assert export_pairs(run, 1, toy_recipe(), to) == to
        put(fs, f"{path}/data/round-1/train-of-before.parquet", b"old")
        assert export_pairs(run, 1, toy_recipe(), to) == to
        there = {file.path.removeprefix(f"{path}/"): file.size for file in files_below(fs, path)}
        here = {str(file.relative_to(exported)): file.stat().st_size for file in exported.rglob("*") if file.is_file()}
        assert there.pop("README.md") and here.pop("README.md"), "a card names its place"
        assert there == here
        with pytest.raises(ExportError, match="holds another export .*trl.*; nothing was changed"):
            export_pairs(run, 1, toy_recipe(), to, format="trl")
        with pytest.raises(ExportError, match="holds other content"):
            export_pairs(run, 1, toy_recipe(), f"{bucket}/sets")
    with pytest.raises(StoreError, match="leads to no storage that is known here"):
        export_pairs(run, 1, toy_recipe(), "nowhere://bucket/set")


def test_a_licence_is_never_made_up() -> None:
    recipe = toy_recipe()
    assert licence(recipe, None)[0] == "apache-2.0" and licence(recipe, "cc-by-4.0")[0] == "cc-by-4.0"
    assert licence(replace(recipe, corpus=replace(recipe.corpus, mono="s3://mine")), None)[0] == "unknown"
