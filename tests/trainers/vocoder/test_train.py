"""The training of a voice from its data to its folder, from Python and from the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.models.unit_hifigan import CodeHiFiGAN
from tests.trainers.vocoder.toys import CONFIG, NETWORK
from trainers.errors import TrainingError
from trainers.vocoder.state import Budget
from trainers.vocoder.train import main, train_vocoder


def test_both_phases_run_and_the_voice_is_published(data: Path, tmp_path: Path) -> None:
    summary = train_vocoder(data, tmp_path / "voice", network=NETWORK, config=CONFIG)
    assert summary["steps"] == {"spectral": 4, "adversarial": 2}
    assert summary["data"]["utterances"] == 12 and set(summary["seconds"]) == {"spectral", "adversarial"}
    assert json.loads((tmp_path / "voice/training.json").read_text()) == json.loads(json.dumps(summary))
    wave = CodeHiFiGAN.from_pretrained(tmp_path / "voice").synthesize([[0, 1, 2, 3]])[0]
    assert len(wave) >= 4 * 320 and np.isfinite(wave).all()


def test_units_that_are_not_deduplicated_give_a_voice_without_durations(data: Path, tmp_path: Path) -> None:
    rows = pq.read_table(data).to_pylist()
    for row in rows:
        row["units"] = np.repeat(row["units"], row["durations"]).tolist()
        row["durations"] = [1] * len(row["units"])
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "frames.parquet")
    train_vocoder(tmp_path / "frames.parquet", tmp_path / "voice", network=NETWORK, config=CONFIG)
    assert len(CodeHiFiGAN.from_pretrained(tmp_path / "voice").synthesize([[0, 0, 1]])[0]) == 3 * 320


def test_a_checkpoint_of_another_network_is_refused(data: Path, tmp_path: Path) -> None:
    once = replace(CONFIG, spectral=Budget(steps=1), adversarial=Budget())
    train_vocoder(data, tmp_path, network=NETWORK, config=once)
    with pytest.raises(TrainingError, match="another config.json"):
        train_vocoder(data, tmp_path, network=NETWORK | {"upsample_initial_channel": 32}, config=CONFIG)


def test_another_sample_rate_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="audio has 16000 samples per second, the vocoder 22050"):
        train_vocoder(data, tmp_path, network=NETWORK | {"sampling_rate": 22_050}, config=CONFIG)


def test_the_command_line_trains_one_language(data: Path, tmp_path: Path) -> None:
    paths = f"--data {data} --out {tmp_path} --lang fr --num-units 4 --batch 1 --crop 8 --seed 3 --precision bf16"
    budgets = "--minutes-spectral 0 --steps-spectral 1 --minutes-adversarial 0 --steps-adversarial 2"
    assert main(f"{paths} {budgets}".split()) == 0
    summary = json.loads((tmp_path / "training.json").read_text())
    settings = summary["settings"]
    assert summary["data"]["utterances"] == 8
    assert (settings["seed"], settings["batch"], settings["crop"], settings["precision"]) == (3, 1, 8, "bf16")
    assert (settings["spectral"], settings["adversarial"]) == ({"steps": 1, "minutes": 0}, {"steps": 2, "minutes": 0})
    assert summary["steps"] == {"spectral": 1, "adversarial": 2}


def test_an_error_of_the_user_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path), "--out", str(tmp_path / "voice")]) == 2
    assert capsys.readouterr().err.startswith("python -m trainers.vocoder.train: ")
