"""An export holds what the round holds, `datasets` loads it, and TRL trains on it."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from factory.corpora.opening import open_corpus
from factory.export.base import ExportError
from factory.export.export import export_pairs, export_policy
from factory.export.layout import choose_split
from factory.export.targets import parse_base
from factory.planning.places import Round
from factory.storage.files import files_below, filesystem
from schemas.datasets import Row
from schemas.sequences import Variant, parse
from tests.export.client import export_arguments, run_exports
from tests.export.hub import TOKEN, Hub
from tests.s3 import s3_server
from tests.toy_run import ROOT, toy_run
from tests.toys import tiny_policy


def load(uri: str, tmp_path: Path, config: str = "round-1") -> Any:
    """Load an export with `datasets`; its audio stays encoded, because decoding needs torchcodec."""
    import datasets

    loaded = datasets.load_dataset(uri, config, cache_dir=str(tmp_path / "cache"))
    for name in ("source_audio", "chosen_audio", "rejected_audio"):
        loaded = loaded.cast_column(name, datasets.Audio(decode=False))
    return loaded


def test_load_dataset_reads_what_the_round_holds(pairs: dict[str, Row], exported: Path, tmp_path: Path) -> None:
    loaded = load(str(exported), tmp_path)
    rows = {row["pair_id"]: row for split in loaded.values() for row in split}
    assert rows.keys() == pairs.keys()
    for pair_id, row in rows.items():
        pair = pairs[pair_id]
        for key in ("prompt", "chosen", "rejected", "chosen_text", "rejected_text", "margin", "metric"):
            assert row[key] == pair[key]
        assert (row["chosen_scores"], row["rejected_scores"]) == (pair["chosen_scores"], pair["rejected_scores"])
        for side, shift in (("chosen", 0), ("rejected", 3)):
            assert parse(Variant.COM, row[side]).units == row[f"{side}_units"]
            better, worse = sorted((shift, 3 - shift))
            assert row[f"{side}_back_translation"] in (
                f"{row['source_text']} {better}",
                f"{row['source_text']} {worse}",
            )
        assert row["chosen_back_translation"] != row["rejected_back_translation"]
    assert all(choose_split(row["utt_id"]) == name for name, split in loaded.items() for row in split)


def test_the_audio_is_the_recording_and_both_candidates(exported: Path, tmp_path: Path) -> None:
    rows = [row for split in load(str(exported), tmp_path).values() for row in split]
    recordings = open_corpus(str(ROOT / "assets/phrasebook/mono")).load_recordings([row["utt_id"] for row in rows])
    assert len(recordings) >= 2
    for row in rows:
        for name in ("source", "chosen", "rejected"):
            content = row[f"{name}_audio"]["bytes"]
            wave, rate = soundfile.read(io.BytesIO(content))
            assert content[:4] == b"fLaC" and rate == 16_000 and np.abs(wave).max() > 0.01
            if name == "source" and row["utt_id"] in recordings:
                np.testing.assert_allclose(wave, recordings[row["utt_id"]], atol=1e-4)


def test_dpo_and_cpo_trainers_take_it_unchanged(exported: Path, tmp_path: Path) -> None:
    import datasets
    from transformers import AutoTokenizer
    from trl import DPOConfig, DPOTrainer
    from trl.experimental.cpo import CPOConfig, CPOTrainer

    columns = ["prompt", "chosen", "rejected"]
    rows = datasets.load_dataset(
        str(exported), "round-1", split="train", columns=columns, cache_dir=str(tmp_path / "cache")
    )
    policy = tiny_policy(tmp_path / "policy", num_units=100)
    common: dict[str, Any] = {"max_steps": 1, "per_device_train_batch_size": 2, "report_to": "none"}
    common |= {"use_cpu": True, "bf16": False, "save_strategy": "no", "output_dir": str(tmp_path / "out")}
    for config, trainer in ((DPOConfig, DPOTrainer), (CPOConfig, CPOTrainer)):
        tokenizer = AutoTokenizer.from_pretrained(policy)
        training = trainer(model=str(policy), args=config(**common), train_dataset=rows, processing_class=tokenizer)
        assert 0 < training.train().training_loss < 20


def test_a_second_round_is_a_second_config(round_: Round, exported: Path, tmp_path: Path) -> None:
    second = replace(round_, number=2)
    without = shutil.ignore_patterns("spoken", "judgements", "policy")
    shutil.copytree(Path(round_.uri), Path(second.uri), ignore=without)
    shutil.copytree(round_.mono_units[-1].uri, second.mono_units[-1].uri)
    shutil.copytree(exported, tmp_path / "set")
    export_pairs(second, str(tmp_path / "set"))
    shutil.rmtree(second.uri)
    shutil.rmtree(second.mono_units[-1].uri)
    one, two = (load(str(tmp_path / "set"), tmp_path, f"round-{number}")["train"] for number in (1, 2))
    assert one["pair_id"][:] == two["pair_id"][:]
    assert (tmp_path / "set/README.md").read_text().count("### round-") == 2
    assert list(json.loads((tmp_path / "set/roundtrip.json").read_text())["rounds"]) == ["1", "2"]


def test_a_store_holds_what_a_folder_holds(round_: Round, exported: Path) -> None:
    with s3_server() as bucket:
        uri = f"{bucket}/sets/phrasebook"
        assert export_pairs(round_, uri) == uri
        fs, path = filesystem(uri)
        remote = {file.path.removeprefix(f"{path}/"): file.size for file in files_below(fs, path)}
        local = {str(file.relative_to(exported)): file.stat().st_size for file in exported.rglob("*") if file.is_file()}
        for name in ("README.md", "croissant.json"):
            assert remote.pop(name) and local.pop(name), "these name their target"
        assert remote == local


def test_an_export_of_another_kind_is_left_alone(round_: Round, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    with pytest.raises(ExportError, match=r"holds other content \(notes.txt\)"):
        export_pairs(round_, str(tmp_path / "mine"))
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    export_pairs(round_, str(tmp_path / "set"), format="trl")
    with pytest.raises(ExportError, match="holds another export .its format is 'trl', this one has 'slamkit'"):
        export_pairs(round_, str(tmp_path / "set"), format="slamkit")
    with pytest.raises(ExportError, match="its kind is 'pairs', this one has 'policy'"):
        export_policy(round_, str(tmp_path / "set"))


def test_a_policy_is_exported_with_its_card_and_adapter(round_: Round, hub: Hub, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    folder = export_policy(round_, str(tmp_path / "policy"))
    assert AutoModelForCausalLM.from_pretrained(folder).config.num_hidden_layers == 2
    expected = {str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file()}
    assert {"model.safetensors", "tokenizer.json", "adapter/adapter_config.json", "README.md"} <= expected
    [pushed] = run_exports(hub, tmp_path, (export_arguments(round_, "hf://someone/policy", "--policy"), TOKEN))
    assert pushed.code == 0, pushed.error
    files = hub.files("someone/policy", "model")
    assert files.keys() == expected
    assert json.loads(files["adapter/adapter_config.json"])["base_model_name_or_path"] == "station-round-0"


def test_peft_loads_an_adapter_whose_base_is_named(round_: Round, tmp_path: Path) -> None:
    import torch
    from peft import AutoPeftModelForCausalLM, LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = tiny_policy(tmp_path / "base", seed=1)
    trained = Round(toy_run(tmp_path / "run", count=1), 1, round_.recipe)
    policy = tiny_policy(Path(trained.policy_uri))
    shutil.copy(Path(round_.policy_uri) / "training.json", policy)
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(base), LoraConfig(r=2, init_lora_weights=False))
    adapted.save_pretrained(policy / "adapter")
    folder = export_policy(trained, str(tmp_path / "policy"), base=str(base))
    config = json.loads((Path(folder) / "adapter/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(base) and config["r"] == 2
    loaded = AutoPeftModelForCausalLM.from_pretrained(Path(folder) / "adapter")
    ids = torch.arange(8)[None]
    assert torch.equal(loaded.eval()(ids).logits, adapted.eval()(ids).logits)
    assert "AutoPeftModelForCausalLM" in (Path(folder) / "README.md").read_text()


def test_a_base_is_a_model_on_the_hub_or_a_folder(round_: Round, hub: Hub, tmp_path: Path) -> None:
    folder = str(ROOT / "assets/station/policy")
    assert [parse_base(base) for base in ("hf://me/it", "hf://models/me/it/", folder)] == ["me/it", "me/it", folder]
    with pytest.raises(ExportError, match=r"--base \S+nowhere has no config.json: expected hf://OWNER/NAME, or a fold"):
        parse_base(str(tmp_path / "nowhere"))
    for wrong in ("hf://it", "hf://datasets/me/it", "hf://me/it/more"):
        with pytest.raises(ExportError, match="is not a model: expected hf://OWNER/NAME"):
            parse_base(wrong)
    to = ("hf://someone/other", "--policy", "--base", "hf://me/it")
    without = export_arguments(round_, str(tmp_path / "set"), "--base", "hf://me/it")
    pushed, refused = run_exports(hub, tmp_path, (export_arguments(round_, *to), TOKEN), (without, TOKEN))
    assert pushed.code == 0, pushed.error
    config = json.loads(hub.files("someone/other", "model")["adapter/adapter_config.json"])
    assert config == {"r": 8, "base_model_name_or_path": "me/it"}
    assert refused.code == 2 and "--base names the base model of an adapter: give --policy too" in refused.error


def test_a_base_without_an_adapter_is_refused(round_: Round, tmp_path: Path) -> None:
    merged = Round(toy_run(tmp_path / "run", count=1), 1, round_.recipe)
    tiny_policy(Path(merged.policy_uri))
    with pytest.raises(ExportError, match="has no adapter, so it has no base model: leave out --base"):
        export_policy(merged, str(tmp_path / "policy"), base="hf://me/it")
    assert not (tmp_path / "policy").exists()


def test_a_round_that_cannot_be_exported_is_refused_before_any_work(round_: Round, tmp_path: Path) -> None:
    to = str(tmp_path / "set")
    with pytest.raises(ExportError, match="round 0 makes no pairs"):
        export_pairs(replace(round_, number=0), to)
    with pytest.raises(ExportError, match="round 7 of .* has no policy at "):
        export_policy(replace(round_, number=7), to)
    recipe = replace(round_.recipe, vocoder={"fr": round_.recipe.vocoder["fr"]})
    with pytest.raises(ExportError, match="has no audio to export: the recipe has no vocoder for en"):
        export_pairs(replace(round_, recipe=recipe), to)
    assert list(tmp_path.iterdir()) == []


def test_temporary_files_that_cannot_be_written_are_an_export_error(
    round_: Round, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(ExportError, match=r"the temporary files cannot be written \(.*missing.*\): free space"):
        export_pairs(round_, str(tmp_path / "set"), format="trl")
