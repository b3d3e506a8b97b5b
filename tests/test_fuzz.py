"""Whatever bytes come as audio and whatever a policy writes: a value or a reason, never another error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

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


def heard(content: bytes) -> str:
    """Read the bytes as a row's audio; return the reason why there is no wave, or `ok`."""
    try:
        wave = read({"bytes": content, "path": None})
    except AudioError as error:
        assert str(error).startswith(f"{error.slug}: ")
        return error.slug
    assert wave.ndim == 1 and wave.dtype == np.float32
    assert (
        np.isfinite(wave).all()
        and 0.1 * SAMPLE_RATE <= len(wave) <= 30 * SAMPLE_RATE
        and 1e-3 <= np.abs(wave).max() <= 1
    )
    return "ok"


@MANY
@given(some.binary(max_size=600))
def test_any_bytes_are_a_wave_or_a_reason(content: bytes) -> None:
    assert heard(content) in SLUGS | {"ok"}


@MANY
@given(some.sampled_from(MAGIC), some.binary(max_size=600))
def test_what_begins_like_a_container_is_a_wave_or_a_reason(magic: bytes, content: bytes) -> None:
    assert heard(magic + content) in SLUGS | {"ok"}


@settings(MANY, max_examples=600)
@given(
    some.sampled_from(sorted(FILES)),
    some.lists(some.tuples(some.integers(0, 10**6), some.integers(0, 255)), max_size=12),
    some.data(),
)
def test_spoilt_files_are_a_wave_or_a_reason(name: str, changes: list[tuple[int, int]], data: some.DataObject) -> None:
    content = bytearray(FILES[name])
    for place, value in changes:  # most of them in the first bytes, where the format is told
        content[place % (120 if place % 3 else len(content))] = value
    assert heard(bytes(content[: data.draw(some.integers(0, len(content)))])) in SLUGS | {"ok"}


def test_the_whole_files_are_heard_and_half_of_one_is_not() -> None:
    assert {name: heard(content) for name, content in FILES.items()} == dict.fromkeys(FILES, "ok")
    halves = {name: heard(content[: len(content) // 2]) for name, content in FILES.items()}
    assert {name for name, slug in halves.items() if slug != "truncated"} <= {"aac", "amr"}, (
        "raw streams, which say no length"
    )


PIECES = some.sampled_from(
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
@given(
    some.sampled_from(list(Variant)), some.one_of(some.text(max_size=60), some.lists(PIECES, max_size=20).map("".join))
)
def test_any_output_is_a_translation_or_a_reason(variant: Variant, output: str) -> None:
    parsed = parse(variant, output)
    if parsed.reason == "ok":
        assert bool(parsed.text) is variant.has_text and bool(parsed.units) is variant.has_units
        assert "<|" not in (parsed.text or "") or not any(tag in parsed.text for tag in (SOSP, EOSP, SEP))
        assert parse(variant, completion(variant, parsed.text, parsed.units or (), parsed.source_text)) == parsed


@pytest.mark.parametrize("variant", list(Variant))
def test_what_is_written_is_read(variant: Variant) -> None:
    written = completion(variant, "le train", [1, 2, 3], "the train")
    parsed = parse(variant, written)
    assert parsed.reason == "ok" and parsed.units == ([1, 2, 3] if variant.has_units else None)
    assert unit_token(2) in written or not variant.has_units
