"""The event files of a round, read as TensorBoard reads them."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from tensorboardX.crc32c import crc32c
from tensorboardX.proto.event_pb2 import Event

from factory.planning.places import Round
from factory.report.curves import Scalar, list_scores, list_training
from factory.report.summary import read_summary, summary_uri
from factory.report.tracking import is_tracked, track
from tests.toy_run import toy_recipe, toy_run

FILES = {"scores": "scores/events.out.tfevents.000001", "training": "round-1/events.out.tfevents.000000"}


@pytest.fixture
def round_(tmp_path: Path) -> Round:
    return Round(toy_run(tmp_path), 1, toy_recipe())


def read_records(content: bytes) -> Iterator[bytes]:
    """Yield the records of TFRecord: length, checksum of the length, data, checksum of the data."""
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        data, check = content[12 : 12 + length], content[12 + length : 16 + length]
        masked = crc32c(data)
        assert struct.unpack("<I", check)[0] == (((masked >> 15) | (masked << 17)) + 0xA282EAD8) & 0xFFFFFFFF
        yield data
        content = content[16 + length :]


def read_scalars(path: Path) -> list[Scalar]:
    """Return the points of an event file, in order."""
    first, *events = [Event.FromString(record) for record in read_records(path.read_bytes())]
    assert first.file_version == "brain.Event:2"
    return [Scalar(value.tag, event.step, value.simple_value) for event in events for value in event.summary.value]


def test_a_round_has_its_scores_with_intervals_and_the_curves_of_its_training(round_: Round) -> None:
    track(round_, "tensorboard")
    folder = Path(round_.run.uri, "tensorboard")
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == set(FILES.values())
    scores = read_scalars(folder / FILES["scores"])
    assert scores[:3] == [
        Scalar("s2t_bleu/fr-en", 1, 12.5),
        Scalar("s2t_bleu/fr-en/low", 1, 11.0),
        Scalar("s2t_bleu/fr-en/high", 1, 13.0),
    ]
    assert [scalar for scalar in scores if scalar.tag.startswith("mos/")] == [
        Scalar("mos/fr-en", 1, 2.0),
        Scalar("mos/en-fr", 1, 2.0),
    ]
    curve = [scalar for scalar in read_scalars(folder / FILES["training"]) if scalar.tag == "training/loss"]
    assert [(step, value) for _, step, value in curve] == [(n, pytest.approx(0.69 - n / 100)) for n in range(1, 5)]


def test_a_round_that_is_written_again_has_every_point_once(round_: Round) -> None:
    folder = Path(round_.run.uri, "tensorboard")
    track(round_, "tensorboard")
    once = {name: read_scalars(folder / path) for name, path in FILES.items()}
    track(round_, "tensorboard")
    assert {name: read_scalars(folder / path) for name, path in FILES.items()} == once
    assert len(list(folder.rglob("*.tfevents.*"))) == len(FILES)


def test_a_round_is_tracked_until_its_summary_is_newer(round_: Round) -> None:
    assert not is_tracked(round_, "tensorboard")
    track(round_, "tensorboard")
    assert is_tracked(round_, "tensorboard")
    later = Path(summary_uri(round_.run, 1)).stat().st_mtime + 60
    os.utime(summary_uri(round_.run, 1), (later, later))
    assert not is_tracked(round_, "tensorboard")


def test_what_was_not_measured_has_no_point(round_: Round) -> None:
    summary = read_summary(round_.run, 1)
    summary["mos"]["fr-en"]["after"] = None
    summary["s2t_bleu"]["en-fr"] = None
    tags = {scalar.tag for scalar in list_scores(summary)}
    assert "mos/en-fr" in tags and not {"mos/fr-en", "s2t_bleu/en-fr", "round_trip/fr-en"} & tags


def test_the_numbers_of_a_log_are_curves_by_step() -> None:
    log = [
        {"step": 1, "of": 9, "loss": 0.5, "dev_loss": None, "published": True},
        {"step": 2.0, "eval_loss": 0.25, "note": "x"},
        {"train_runtime": 3.0},
    ]
    assert list(list_training(log)) == [Scalar("training/loss", 1, 0.5), Scalar("training/eval_loss", 2, 0.25)]  # type: ignore[arg-type]
