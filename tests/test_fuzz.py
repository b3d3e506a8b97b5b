"""The audio reader and the parser of a policy's output give a value or a reason for any input, never another error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from factory.corpora.audio import read
from factory.corpora.base import AudioError
from schemas.audio import SAMPLE_RATE
from schemas.sequences import EOS, EOSP, SEP, SOSP, Variant, completion, parse, unit_token
from tests.ffmpeg import encoded

MANY = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SLUGS = {"missing_file", "not_audio", "truncated", "empty", "nan", "too_short", "too_long", "silent"}
KINDS: dict[str, tuple[str, ...]] = {
    "aac": (".aac",),
    "aiff": (".aiff",),
    "amr": (".amr", "-c:a", "libopencore_amrnb", "-ar", "8000", "-ac", "1"),
    "au": (".au",),
    "caf": (".caf", "-c:a", "pcm_s16le"),
    "flac": (".flac",),
    "m4a": (".m4a",),
    "mka": (".mka", "-c:a", "flac"),
    "mp3": (".mp3",),
    "opus": (".opus",),
    "tta": (".tta",),
    "vorbis": (".ogg", "-c:a", "libvorbis"),
    "w64": (".w64",),
    "wav": (".wav", "-c:a", "pcm_f32le"),
    "webm": (".webm", "-c:a", "libopus"),
    "wma": (".wma",),
    "wv": (".wv",),
}
FILES = {name: encoded(suffix, tuple(options), 0.5) for name, (suffix, *options) in KINDS.items()}
MAGIC = [
    *(content[:size] for content in FILES.values() for size in (4, 16, 64)),
    *(
        b"ID3\x04\0\0\0\0\0\x10",
        b"\xff\xfb\x90\x64",
        b"RF64\xff\xff\xff\xffWAVEds64",
        b"\0\0\0\x18ftypqt  ",
        b"MAC \x96\x0f",
    ),
    *(b"NIST_1A\n   1024\n", b"\x0b\x77", b"Creative Voice File\x1a", b"\x56\xe0"),
    *(b"#EXTM3U\n", b"ffconcat version 1.0\n", b"\x89PNG\r\n\x1a\n", b"GIF89a"),
]


def read_reason(content: bytes) -> str:
    """Read bytes as the audio of a row; return `ok`, or the slug of the reason without a wave."""
    try:
        wave = read({"bytes": content, "path": None})
    except AudioError as error:
        assert str(error).startswith(f"{error.slug}: ")
        return error.slug
    assert wave.ndim == 1 and wave.dtype == np.float32
    assert np.isfinite(wave).all() and 1e-3 <= np.abs(wave).max() <= 1
    assert 0.1 * SAMPLE_RATE <= len(wave) <= 30 * SAMPLE_RATE
    return "ok"


@MANY
@given(st.binary(max_size=600))
def test_any_bytes_give_a_wave_or_a_reason(content: bytes) -> None:
    assert read_reason(content) in SLUGS | {"ok"}


@MANY
@given(st.sampled_from(MAGIC), st.binary(max_size=600))
def test_bytes_that_start_like_a_container_give_a_wave_or_a_reason(magic: bytes, content: bytes) -> None:
    assert read_reason(magic + content) in SLUGS | {"ok"}


@settings(MANY, max_examples=600)
@given(
    st.sampled_from(sorted(FILES)),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=12),
    st.data(),
)
def test_corrupt_files_give_a_wave_or_a_reason(name: str, changes: list[tuple[int, int]], data: st.DataObject) -> None:
    content = bytearray(FILES[name])
    for index, value in changes:  # most of them in the header
        content[index % (120 if index % 3 else len(content))] = value
    assert read_reason(bytes(content[: data.draw(st.integers(0, len(content)))])) in SLUGS | {"ok"}


def test_complete_files_are_read_and_truncated_ones_are_not() -> None:
    assert {name: read_reason(content) for name, content in FILES.items()} == dict.fromkeys(FILES, "ok")
    halves = {name: read_reason(content[: len(content) // 2]) for name, content in FILES.items()}
    streams = {"aac", "amr"}  # raw streams do not state their length
    assert {name for name, slug in halves.items() if slug != "truncated"} <= streams


PIECES = st.sampled_from(
    [
        SOSP,
        EOSP,
        SEP,
        EOS,
        "<|fr|>",
        "<|u",
        "|>",
        "<|u7|>",
        "<|u99999999999999999999|>",
        "<|u-1|>",
        "<|u٣|>",
        " ",
        "oui",
        "\x00",
    ]
)


@MANY
@given(st.sampled_from(list(Variant)), st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=20).map("".join)))
def test_any_output_gives_a_translation_or_a_reason(variant: Variant, output: str) -> None:
    parsed = parse(variant, output)
    if parsed.reason == "ok":
        assert bool(parsed.text) is variant.has_text and bool(parsed.units) is variant.has_units
        assert "<|" not in (parsed.text or "") or not any(tag in parsed.text for tag in (SOSP, EOSP, SEP))
        assert parse(variant, completion(variant, parsed.text, parsed.units or (), parsed.source_text)) == parsed


@pytest.mark.parametrize("variant", list(Variant))
def test_a_completion_is_parsed_back(variant: Variant) -> None:
    output = completion(variant, "le train", [1, 2, 3], "the train")
    parsed = parse(variant, output)
    assert parsed.reason == "ok" and parsed.units == ([1, 2, 3] if variant.has_units else None)
    assert unit_token(2) in output or not variant.has_units
