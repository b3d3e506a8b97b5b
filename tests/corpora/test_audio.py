"""`read` decodes speech from bytes, files and URIs, and gives a reason if it cannot; `encode` writes it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from factory.corpora.audio import AUDIO_SUFFIXES, encode, read, resample
from factory.corpora.base import AudioError
from tests.corpora.formats import FORMATS, refuse, snr, wav
from tests.ffmpeg import encoded, run, tone


def test_bytes_files_and_uris_give_the_same_waveform(tmp_path: Path) -> None:
    audio = wav(tone())
    (tmp_path / "a.wav").write_bytes(audio["bytes"])
    wave = read(audio)
    assert (wave.dtype, wave.shape) == (np.float32, (16_000,))
    np.testing.assert_array_equal(wave, tone())
    for path in (str(tmp_path / "a.wav"), f"file://{tmp_path}/a.wav"):
        np.testing.assert_array_equal(read({"path": path, "bytes": None}), wave)


@pytest.mark.parametrize("rate", [8_000, 22_050, 24_000, 44_100, 48_000])
def test_other_rates_are_resampled(rate: int) -> None:
    wave = read(wav(tone(1.0, rate), rate))
    assert len(wave) == 16_000
    assert snr(tone()[200:-200], wave[200:-200]) > 40


def test_resampling_to_the_same_rate_changes_nothing_but_the_type() -> None:
    wave = resample(tone().astype(np.float64), 16_000)
    assert wave.dtype == np.float32
    np.testing.assert_array_equal(wave, tone())
    assert len(resample(tone(), 16_000, 8_000)) == 8_000


def test_channels_are_averaged_and_overshoot_is_clipped() -> None:
    both = np.stack([tone(), -0.5 * tone()], axis=1)
    np.testing.assert_allclose(read(wav(both)), 0.25 * tone(), atol=1e-7)
    assert np.abs(read(wav(5 * tone()))).max() == 1.0


@pytest.mark.parametrize(
    ("audio", "slug"),
    [
        (None, "missing_file"),
        ({"bytes": None, "path": None}, "missing_file"),
        ({"path": "/no/such.wav"}, "missing_file"),
        ({"path": "file:///no/such.wav"}, "missing_file"),
        ({"bytes": b"RIFF but no audio"}, "not_audio"),
        ({"bytes": encode(tone(), "FLAC")[:5000]}, "truncated"),
        ({"bytes": b""}, "empty"),
        (wav(np.zeros(0, np.float32)), "empty"),
        (wav(np.where(np.arange(16_000) == 99, np.nan, tone())), "nan"),
        (wav(np.where(np.arange(16_000) == 99, np.inf, tone())), "nan"),
        (wav(0.003 * tone()), "silent"),
        (wav(np.zeros(16_000)), "silent"),
        (wav(tone(0.05)), "too_short"),
        (wav(tone(2.5)), "too_long"),
    ],
)
def test_audio_that_cannot_be_used_has_a_reason(audio: Mapping[str, object] | None, slug: str) -> None:
    with pytest.raises(AudioError) as caught:
        read(audio, min_s=0.1, max_s=2.0)
    assert caught.value.slug == slug
    assert str(caught.value).startswith(f"{slug}: ")


def test_the_limits_of_duration_and_loudness_are_included() -> None:
    assert len(read(wav(tone(0.1)), min_s=0.1)) == 1_600
    assert refuse(wav(tone(0.1)[:-1]), min_s=0.1) == "too_short: 0.10 s of audio, at least 0.10 s is needed"
    assert len(read(wav(np.full(16_000, 0.001)))) == 16_000
    assert refuse(wav(np.full(16_000, 0.00099))).startswith("silent: ")


def test_files_that_are_not_audio(tmp_path: Path) -> None:
    picture = run(
        "-f", "lavfi", "-i", "testsrc=d=1:s=64x64", "-frames:v", "1", "-f", "image2pipe", "-c:v", "png", "pipe:1"
    )
    video = run("-f", "lavfi", "-i", "testsrc=d=1:s=64x64", "-f", "matroska", "pipe:1")
    texts = {
        "noise.raw": b"some text" * 100,
        "notes.txt": b"some text" * 100,
        "name.wav": "pas un son \u00e9".encode("utf-16"),
    }
    others = {"a.png": picture, "a.mkv": video, "a.exe": Path(sys.executable).read_bytes()}
    for name, content in {**texts, **others}.items():
        assert content
        (tmp_path / name).write_bytes(content)
        assert refuse({"path": str(tmp_path / name)}).startswith("not_audio: ")
    (tmp_path / "empty.wav").touch()
    assert refuse({"path": str(tmp_path / "empty.wav")}).startswith("empty: ")


def test_paths_that_lead_to_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "link.wav").symlink_to(tmp_path / "nothing")
    (tmp_path / "loop.wav").symlink_to(tmp_path / "loop.wav")
    (tmp_path / "a.wav").write_bytes(wav(tone())["bytes"])
    names = ["pipe.wav", "link.wav", "loop.wav", "", "a\0b.wav", "x" * 300, "\ud800.wav", "a.wav/b.wav"]
    others = [f"file://{tmp_path}", "/dev/zero", "nowhere://a/b.wav", "://", "~nobody/a.wav"]
    for path in [*(f"{tmp_path}/{name}" for name in names), *others]:
        assert refuse({"path": path}).startswith("missing_file: "), path


def test_a_file_without_permission_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "secret.wav"
    path.write_bytes(wav(tone())["bytes"])
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    assert refuse({"path": str(path)}).startswith("missing_file: ")


@pytest.mark.parametrize(
    "name",
    [
        "a b.wav",
        "\u00e9\u4e2d#?%20.flac",
        "no suffix",
        "-i.mp3",
        "a:b.wav",
        "x\n.wav",
        "wrong suffix.mp3",
        "byte\udcff.wav",
    ],
)
def test_a_file_may_have_any_name(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(wav(tone())["bytes"])
    np.testing.assert_array_equal(read({"path": str(tmp_path / name)}), tone())


def test_files_are_closed_and_nothing_is_printed(tmp_path: Path) -> None:
    (tmp_path / "half.mp3").write_bytes(encoded(".mp3")[:2_000] + b"\xff\xfb" * 500)
    (tmp_path / "whole.flac").write_bytes(encoded(".flac"))
    script = """
import os, sys
from factory.corpora.audio import AudioError, read
before = len(os.listdir("/proc/self/fd"))
for path in sys.argv[1:] * 20:
    try:
        read({"path": path})
    except AudioError:
        pass
print(len(os.listdir("/proc/self/fd")) - before)
"""
    files = [str(tmp_path / "half.mp3"), str(tmp_path / "whole.flac")]
    done = subprocess.run(
        [sys.executable, "-c", script, *files], capture_output=True, text=True, check=True, timeout=600
    )
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_a_reason_is_the_same_every_time() -> None:
    assert len({refuse({"bytes": b"no audio at all" * 10}) for _ in range(2)}) == 1


def test_opus_is_small_and_close() -> None:
    wave = tone(5.0)
    content = encode(wave)
    assert len(content) * 8 / 5 < 30_000, "about 24 kbit/s"
    decoded = read({"bytes": content})
    assert len(decoded) == len(wave)
    assert snr(wave, decoded) > 20


def test_flac_and_wav_are_lossless_to_16_bits() -> None:
    for format in ("FLAC", "WAV"):
        assert np.abs(read({"bytes": encode(tone(), format)}) - tone()).max() <= 2**-15


def test_another_format_is_refused() -> None:
    with pytest.raises(ValueError, match="OGG/OPUS or FLAC or WAV; got 'MP3'"):
        encode(tone(), "MP3")


def test_suffixes_include_every_format_of_these_tests() -> None:
    suffixes = {suffix for suffix, *_ in FORMATS.values() if suffix.startswith(".")}
    assert suffixes <= AUDIO_SUFFIXES
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in AUDIO_SUFFIXES)
