"""A file is decoded as ffmpeg decodes it; one that is cut off, damaged or too long is refused."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as some

from factory.corpora.audio import read
from factory.corpora.base import AudioError
from factory.corpora.decode import decode
from tests.corpora.formats import FORMATS, STATES_LENGTH, check_same_as_ffmpeg, make, refuse, wav
from tests.ffmpeg import decoded, encoded, run, tone
from tests.ffmpeg import wav as write_wav

CUT_SLUGS = {"truncated", "not_audio", "empty", "too_short", "silent"}


class Counted(io.BytesIO):
    """Bytes that remember how far they were read."""

    furthest = 0

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        self.furthest = max(self.furthest, self.tell())
        return content


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_complete_file_is_read_as_ffmpeg_reads_it(name: str, tmp_path: Path) -> None:
    content = make(name)
    wave = read({"bytes": content})
    check_same_as_ffmpeg(wave, content)
    (tmp_path / "speech").write_bytes(content)
    np.testing.assert_array_equal(read({"path": str(tmp_path / "speech")}), wave)


@pytest.mark.parametrize("name", sorted(STATES_LENGTH))
@pytest.mark.parametrize("share", [0.6, 0.9])
def test_a_file_that_states_its_length_is_truncated_without_its_end(name: str, share: float) -> None:
    content = make(name, seconds=3.0)
    with pytest.raises(AudioError, match="^truncated: "):
        read({"bytes": content[: int(share * len(content))]})


@settings(max_examples=100, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(
    name=some.sampled_from(sorted(FORMATS)),
    rate=some.sampled_from([8_000, 16_000, 22_050, 44_100, 48_000]),
    channels=some.sampled_from([1, 2]),
    seconds=some.sampled_from([0.5, 1.3, 2.9]),
    share=some.one_of(some.just(1.0), some.floats(0.0, 1.0)),
)
@example(name="mp3 vbr pipe", rate=48_000, channels=2, seconds=2.9, share=1.0)
@example(name="flac pipe", rate=44_100, channels=2, seconds=2.9, share=0.7)
def test_any_file_is_read_as_ffmpeg_reads_it_or_refused(
    name: str, rate: int, channels: int, seconds: float, share: float
) -> None:
    content = make(name, seconds, rate, channels)
    kept = content[: int(share * len(content))]
    try:
        wave = read({"bytes": kept})
    except AudioError as error:
        assert kept != content and error.slug in CUT_SLUGS, error
    else:
        check_same_as_ffmpeg(wave, kept)


def test_sphere_files_are_read_and_half_of_one_is_truncated() -> None:
    steps = np.round(tone() * 2**15).astype(np.float32) / 2**15
    content = write_wav(steps, subtype="PCM_16", format="NIST")
    np.testing.assert_array_equal(read({"bytes": content}), steps)
    assert refuse({"bytes": content[: len(content) // 2]}).startswith("truncated: ")


@pytest.mark.parametrize("suffix", [".flac", ".opus"])
def test_an_error_of_the_disk_is_raised(suffix: str) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 8_192:
                raise OSError(5, "Input/output error")
            return super().read(size)

    with pytest.raises(OSError, match="Input/output error"):
        decode(Failing(encoded(suffix, (), 5.0)), 30.0)


def test_a_wav_whose_recorder_was_killed_is_read_to_its_end() -> None:
    content = wav(tone(2.0), subtype="PCM_16")["bytes"]
    for size in (0, 0xFFFFFFFF, 0x7FFFF000):
        killed = bytearray(content)
        killed[4:8] = killed[40:44] = size.to_bytes(4, "little")
        np.testing.assert_array_equal(read({"bytes": bytes(killed)}), read({"bytes": content}))


def test_half_a_wav_says_how_much_is_missing() -> None:
    content = wav(tone(3.0), subtype="PCM_16")["bytes"]
    reason = "truncated: 1.50 s could be decoded, but the file states 3.00 s"
    assert refuse({"bytes": content[: len(content) // 2]}) == reason


def test_up_to_20_ms_of_a_wav_may_be_missing() -> None:
    content = wav(tone(3.0), subtype="PCM_16")["bytes"]
    assert len(read({"bytes": content[:-600]})) == 48_000 - 300
    assert refuse({"bytes": content[:-700]}).startswith("truncated: ")


def test_a_flac_that_was_written_to_a_pipe_has_the_length_of_its_audio() -> None:
    assert len(read({"bytes": encoded("pipe:flac", seconds=2.0)})) == 32_000


@pytest.mark.parametrize("seconds", [1.0, 3.0])
@pytest.mark.parametrize("rate", [16_000, 44_100])
@pytest.mark.parametrize("quiet", ["adelay=1500", "apad=pad_dur=3"])
def test_an_mp3_that_states_no_length_is_read_to_its_end(seconds: float, rate: int, quiet: str) -> None:
    content = encoded("pipe:mp3", ("-q:a", "5", "-af", quiet), seconds, rate)
    wave = read({"bytes": content})
    assert abs(len(wave) - len(decoded(content))) <= 16 and len(wave) > 16_000 * (seconds + 1.4)


def test_an_mp3_is_the_same_as_bytes_and_as_a_file(tmp_path: Path) -> None:
    mp3 = encoded(".mp3", ("-id3v2_version", "0"))
    tag = b"ID3\x03\0\0\0\0\x07\x68" + bytes(1_000)
    for content in (mp3, bytes(3_000) + mp3, tag + mp3, tag + bytes(3_000) + mp3, mp3 + b"TAG" + b"x" * 125):
        (tmp_path / "a.mp3").write_bytes(content)
        wave = read({"bytes": content})
        np.testing.assert_array_equal(read({"path": str(tmp_path / "a.mp3")}), wave)
        assert 16_000 <= len(wave) < 18_000


def test_joined_files_are_read_completely() -> None:
    for suffix, options in ((".mp3", ()), (".opus", ()), (".ogg", ("-c:a", "libvorbis"))):
        one, two = encoded(suffix, options), encoded(suffix, options, 2.0)
        assert len(read({"bytes": one + two})) >= 16_000 * 2.95
    other_rate = encoded(".mp3") + encoded(".mp3", (), 2.0, 44_100)
    assert len(read({"bytes": other_rate})) >= 16_000 * 2.95


@pytest.mark.parametrize(
    "kind", [(".flac",), (".opus",), (".ogg", "-c:a", "libvorbis"), (".m4a", "-movflags", "+faststart")]
)
def test_damage_in_the_middle_is_found(kind: tuple[str, ...]) -> None:
    suffix, *options = kind
    content = bytearray(encoded(suffix, tuple(options), 4.0))
    start = len(content) * 4 // 5
    content[start : start + 300] = b"\x55" * 300
    assert refuse({"bytes": bytes(content)}).startswith("truncated: ")


def test_hours_are_refused_without_decoding_them() -> None:
    hours = run("-f", "lavfi", "-i", "anoisesrc=d=1800:r=8000:a=0.001", "-c:a", "flac", "-f", "flac", "pipe:1")
    with Counted(hours) as file:
        with pytest.raises(AudioError, match="^too_long: more than 30.00 s of audio, at most 30.00 s is allowed$"):
            decode(file, 30.0)
        assert file.furthest < len(hours) / 10, "the rest was not even read"


@pytest.mark.parametrize(("seconds", "slug"), [(30.0, None), (30.1, "too_long")])
@pytest.mark.parametrize("suffix", [".wav", ".flac", ".m4a", ".mp3", ".opus"])
def test_the_longest_duration_is_allowed_in_every_format(suffix: str, seconds: float, slug: str | None) -> None:
    audio = {"bytes": encoded(suffix, (), seconds)}
    assert (refuse(audio).partition(":")[0] if slug else len(read(audio))) == (slug or 480_000)
