"""The length that a file states: how much of it is present, and where an Ogg file ends."""

from __future__ import annotations

import io

import pytest

from factory.corpora.containers import has_end, is_chained, share_present, stated_samples
from tests.corpora.formats import make
from tests.ffmpeg import encoded

IN_BYTES = ["wav", "wav 24", "rf64", "w64", "aiff", "caf", "au", "m4a", "webm", "mka flac", "wma"]


def share(content: bytes) -> float:
    file = io.BytesIO(content)
    value = share_present(file, len(content))
    assert file.tell() == 0
    return value


@pytest.mark.parametrize("name", IN_BYTES)
def test_the_present_share_is_that_of_the_stated_bytes(name: str) -> None:
    content = make(name, seconds=3.0)
    assert share(content) == 1.0
    half = share(content[: len(content) // 2])
    assert half == (0.0 if name == "m4a" else pytest.approx(0.5, abs=0.05))


@pytest.mark.parametrize("name", ["flac", "mp3", "wav pipe", "au pipe", "webm pipe"])
def test_a_file_that_states_no_bytes_is_complete(name: str) -> None:
    content = make(name, seconds=3.0)
    assert share(content) == share(content[: len(content) // 2]) == 1.0


def test_an_ogg_file_ends_with_a_marked_page() -> None:
    content = encoded(".opus")
    for cut, expected in ((0, True), (1, False), (len(content) // 2, False)):
        kept = content[: len(content) - cut]
        assert has_end(io.BytesIO(kept), len(kept)) is expected


def test_joined_opus_files_are_chained() -> None:
    assert not is_chained(io.BytesIO(encoded(".opus")))
    assert is_chained(io.BytesIO(encoded(".opus") * 2))


def test_an_mp3_states_its_samples_in_its_first_frame() -> None:
    low, high = encoded(".mp3", (), 2.0), encoded(".mp3", (), 2.0, 44_100)
    assert abs(stated_samples(io.BytesIO(low)) - 32_000) < 3 * 576
    assert abs(stated_samples(io.BytesIO(high)) - 88_200) < 3 * 1_152
    assert stated_samples(io.BytesIO(encoded("pipe:mp3", ("-q:a", "5")))) == 0
