"""Pairs for audio language models: the rules that LLaMA-Factory, ms-swift and NeMo publish for their data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from factory.corpora.audio import encode
from factory.export.audio_llms import write_llamafactory, write_nemo, write_swift
from factory.export.layout import choose_split
from factory.planning.places import Round
from schemas.datasets import Row
from tests.export.test_formats import check_ids, export, read_json_lines, split

pytestmark = pytest.mark.service
ASK = {
    "fr": "<audio>Translate the French speech into English. Answer with the translation only.",
    "en": "<audio>Translate the English speech into French. Answer with the translation only.",
}


def lines_of(folder: Path, pairs: dict[str, Row]) -> list[tuple[Row, Row]]:
    """Return the line of each pair with the pair, and check that each split has its own."""
    found = []
    for name, expected in split(pairs).items():
        rows = read_json_lines(folder / f"{name}.jsonl")
        check_ids(rows, expected)
        found += [(row, expected[row["pair_id"]]) for row in rows]
    return found


def check_sound(folder: Path, path: str) -> float:
    """Return the seconds of a recording, which must be in the folder of the export."""
    assert not Path(path).is_absolute() and (folder / path).resolve().is_relative_to(folder.resolve())
    info = soundfile.info(folder / path)
    assert info.samplerate == 16_000
    return float(info.duration)


def test_llamafactory(round_: Round, pairs: dict[str, Row], tmp_path: Path) -> None:
    folder = export(round_, tmp_path, "llamafactory")
    lines = lines_of(folder, pairs)
    info = json.loads((folder / "dataset_info.json").read_text())
    assert {entry["file_name"] for entry in info.values()} == {"train.jsonl", "test.jsonl"}
    for entry in info.values():
        assert entry["formatting"] == "sharegpt" and entry["ranking"] is True
        columns, tags = entry["columns"], entry["tags"]
        for line, pair in lines:
            messages, audios = line[columns["messages"]], line[columns["audios"]]
            assert len(messages) % 2 == 1 and messages[-1][tags["role_tag"]] == tags["user_tag"]
            assert sum(message[tags["content_tag"]].count("<audio>") for message in messages) == len(audios) == 1
            for side in ("chosen", "rejected"):
                answer = line[columns[side]]
                assert answer[tags["role_tag"]] == tags["assistant_tag"]
                assert answer[tags["content_tag"]] == pair[f"{side}_text"]
            assert messages[0]["content"] == ASK[pair["src_lang"]]
            assert check_sound(folder, audios[0]) > 0


def test_swift(round_: Round, pairs: dict[str, Row], tmp_path: Path) -> None:
    folder = export(round_, tmp_path, "ms-swift")
    for line, pair in lines_of(folder, pairs):
        user, assistant = line["messages"]
        assert (user["role"], assistant["role"]) == ("user", "assistant")
        assert user["content"] == ASK[pair["src_lang"]] and user["content"].count("<audio>") == len(line["audios"])
        assert (assistant["content"], line["rejected_response"]) == (pair["chosen_text"], pair["rejected_text"])
        assert line["margin"] == pair["margin"] > 0
        assert check_sound(folder, line["audios"][0]) > 0


def test_nemo(round_: Round, pairs: dict[str, Row], tmp_path: Path) -> None:
    folder = export(round_, tmp_path, "nemo")
    for line, pair in lines_of(folder, pairs):
        assert check_sound(folder, line["audio_filepath"]) == pytest.approx(line["duration"], abs=1e-3)
        assert (line["text"], line["rejected_text"]) == (pair["chosen_text"], pair["rejected_text"])
        assert (line["source_lang"], line["target_lang"]) == (pair["src_lang"], pair["tgt_lang"])
        assert (line["offset"], line["taskname"]) == (0.0, "ast")


@pytest.mark.parametrize("write", [write_llamafactory, write_swift, write_nemo])
def test_pairs_without_texts_or_source_are_left_out(write: object, tmp_path: Path) -> None:
    sound = {"bytes": encode(np.zeros(1_600, np.float32), "WAV")}
    whole: Row = {"src_lang": "fr", "tgt_lang": "xx", "margin": 0.5, "source_audio": sound}
    whole |= {"chosen_text": "yes", "rejected_text": "no"}
    changes: list[Row] = [{}, {"source_audio": None}, {"chosen_text": None}, {"rejected_text": ""}]
    names = [name for name in map(str, range(99)) if choose_split(name) == "train"][:4]
    rows = [whole | {"pair_id": name, "utt_id": name} | change for name, change in zip(names, changes, strict=True)]
    assert callable(write) and write(rows, tmp_path) == {"train": 1}
    [line] = read_json_lines(tmp_path / "train.jsonl")
    assert line["pair_id"] == names[0]
    assert "into xx." in json.dumps(line) or line["target_lang"] == "xx"
