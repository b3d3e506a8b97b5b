"""Whatever container, codec, rate and number of channels: what is read is what ffmpeg decodes, or there is a reason why not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as some

from factory.corpora.audio import AUDIO_SUFFIXES, read
from factory.corpora.decode import AudioError
from tests.ffmpeg import decoded, encoded

SAYS_ITS_LENGTH = {
    "wav": (".wav", "-c:a", "pcm_s16le"),
    "wav 24": (".wav", "-c:a", "pcm_s24le"),
    "wav float": (".wav", "-c:a", "pcm_f32le"),
    "wav ulaw": (".wav", "-c:a", "pcm_mulaw"),
    "wav adpcm": (".wav", "-c:a", "adpcm_ima_wav"),
    "wav mp3": (".wav", "-c:a", "libmp3lame"),
    "rf64": (".wav", "-rf64", "always"),
    "w64": (".w64",),
    "aiff": (".aiff",),
    "aifc": (".aifc", "-f", "aiff", "-c:a", "pcm_mulaw"),
    "caf": (".caf", "-c:a", "pcm_s16le"),
    "caf alac": (".caf", "-c:a", "alac"),
    "au": (".au",),
    "flac": (".flac",),
    "ogg vorbis": (".ogg", "-c:a", "libvorbis"),
    "ogg flac": (".oga", "-c:a", "flac"),
    "opus": (".opus",),
    "ogg vorbis pipe": ("pipe:ogg", "-c:a", "libvorbis"),
    "mp3": (".mp3",),
    "mp3 vbr": (".mp3", "-q:a", "5"),
    "m4a": (".m4a",),
    "m4a index first": (".m4a", "-movflags", "+faststart"),
    "m4a alac": (".m4a", "-c:a", "alac"),
    "mp4 opus": (".mp4", "-c:a", "libopus"),
    "mp4 in fragments": (".mp4", "-movflags", "frag_keyframe+empty_moov", "-frag_duration", "300000"),
    "3gp amr": (".3gp", "-c:a", "libopencore_amrnb", "-ar", "8000", "-ac", "1"),
    "3gp aac": (".3gp", "-c:a", "aac"),
    "webm": (".webm", "-c:a", "libopus"),
    "webm vorbis": (".webm", "-c:a", "libvorbis"),
    "mka flac": (".mka", "-c:a", "flac"),
    "mka mp3": (".mka", "-c:a", "libmp3lame"),
    "wma": (".wma",),
    "wma 1": (".wma", "-c:a", "wmav1"),
    "wv": (".wv",),
    "tta": (".tta",),
}
"""Suffix and ffmpeg's options by what they make: files that say where they end."""
SAYS_NOTHING = {
    "mp3 without a header": (".mp3", "-write_xing", "0"),
    "mp3 vbr pipe": ("pipe:mp3", "-q:a", "5"),
    "mp2": (".mp2",),
    "aac": (".aac",),
    "amr": (".amr", "-c:a", "libopencore_amrnb", "-ar", "8000", "-ac", "1"),
    "ac3": (".ac3", "-ar", "48000"),
    "wav pipe": ("pipe:wav",),
    "flac pipe": ("pipe:flac",),
    "au pipe": ("pipe:au",),
    "caf pipe": ("pipe:caf", "-c:a", "pcm_s16le"),
    "webm pipe": ("pipe:webm", "-c:a", "libopus"),
    "mka pipe": ("pipe:matroska", "-c:a", "flac"),
    "wma pipe": ("pipe:asf", "-c:a", "wmav2"),
    "voc": (".voc", "-c:a", "pcm_s16le"),
}
KINDS = {**SAYS_ITS_LENGTH, **SAYS_NOTHING}
CUT_SLUGS = {"truncated", "not_audio", "empty", "too_short", "silent"}


def make(kind: str, seconds: float = 1.3, rate: int = 16_000, channels: int = 1) -> bytes:
    suffix, *options = KINDS[kind]
    content = encoded(suffix, tuple(options), seconds, rate, channels)
    assert content, f"ffmpeg could not write {kind}"
    return content


def check_same_as_ffmpeg(wave: np.ndarray, content: bytes) -> None:
    reference = decoded(content)
    assert abs(len(wave) - len(reference)) <= 16, "1 ms, which the two resamplers may differ by"
    length = min(len(wave), len(reference))
    assert np.corrcoef(wave[:length], reference[:length])[0, 1] > 0.99


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_whole_file_is_read_as_ffmpeg_reads_it(kind: str, tmp_path: Path) -> None:
    content = make(kind)
    wave = read({"bytes": content})
    check_same_as_ffmpeg(wave, content)
    (tmp_path / "speech").write_bytes(content)
    np.testing.assert_array_equal(read({"path": str(tmp_path / "speech")}), wave)


@pytest.mark.parametrize("kind", sorted(SAYS_ITS_LENGTH))
@pytest.mark.parametrize("share", [0.6, 0.9])
def test_what_says_its_length_is_truncated_without_its_end(kind: str, share: float) -> None:
    content = make(kind, seconds=3.0)
    with pytest.raises(AudioError, match="^truncated: "):
        read({"bytes": content[: int(share * len(content))]})


@settings(max_examples=100, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(
    kind=some.sampled_from(sorted(KINDS)),
    rate=some.sampled_from([8_000, 16_000, 22_050, 44_100, 48_000]),
    channels=some.sampled_from([1, 2]),
    seconds=some.sampled_from([0.5, 1.3, 2.9]),
    share=some.one_of(some.just(1.0), some.floats(0.0, 1.0)),
)
@example(kind="mp3 vbr pipe", rate=48_000, channels=2, seconds=2.9, share=1.0)
@example(kind="flac pipe", rate=44_100, channels=2, seconds=2.9, share=0.7)
def test_any_file_is_read_as_ffmpeg_reads_it_or_refused(
    kind: str, rate: int, channels: int, seconds: float, share: float
) -> None:
    content = make(kind, seconds, rate, channels)
    kept = content[: int(share * len(content))]
    try:
        wave = read({"bytes": kept})
    except AudioError as error:
        assert kept != content and error.slug in CUT_SLUGS, error
    else:
        check_same_as_ffmpeg(wave, kept)


def test_every_suffix_that_is_written_here_is_one_that_is_looked_for() -> None:
    suffixes = {suffix for suffix, *_ in KINDS.values() if suffix.startswith(".")}
    assert suffixes <= AUDIO_SUFFIXES
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in AUDIO_SUFFIXES)
