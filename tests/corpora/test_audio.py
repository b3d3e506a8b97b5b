"""Audio is read whatever it is stored as, and what cannot be used says why."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from factory.corpora.audio import encode, read
from factory.corpora.decode import AudioError, decode
from tests.ffmpeg import decoded, encoded, run, tone
from tests.ffmpeg import wav as wav_bytes


def wav(wave: np.ndarray, rate: int = 16_000, subtype: str = "FLOAT") -> dict[str, bytes]:
    return {"bytes": wav_bytes(wave, rate, subtype)}


class Counted(io.BytesIO):
    """Bytes that remember how far they were read."""

    furthest = 0

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        self.furthest = max(self.furthest, self.tell())
        return content


def snr(clean: np.ndarray, heard: np.ndarray) -> float:
    return float(10 * np.log10((clean**2).sum() / ((clean - heard) ** 2).sum()))


def test_bytes_and_paths_give_the_same_wave(tmp_path: Path) -> None:
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
def test_what_cannot_be_used_says_why(audio: dict | None, slug: str) -> None:
    with pytest.raises(AudioError) as caught:
        read(audio, min_s=0.1, max_s=2.0)
    assert caught.value.slug == slug
    assert str(caught.value).startswith(f"{slug}: ")


def refused(audio: dict, **limits: float) -> str:
    with pytest.raises(AudioError) as caught:
        read(audio, **limits)
    return str(caught.value)


def test_files_that_are_no_audio(tmp_path: Path) -> None:
    picture = run(
        "-f", "lavfi", "-i", "testsrc=d=1:s=64x64", "-frames:v", "1", "-f", "image2pipe", "-c:v", "png", "pipe:1"
    )
    video = run("-f", "lavfi", "-i", "testsrc=d=1:s=64x64", "-f", "matroska", "pipe:1")
    texts = {
        "noise.raw": b"some text" * 100,
        "notes.txt": b"some text" * 100,
        "name.wav": "pas un son \u00e9".encode("utf-16"),
    }
    for name, content in {
        **texts,
        "a.png": picture,
        "a.mkv": video,
        "a.exe": Path(sys.executable).read_bytes(),
    }.items():
        assert content
        (tmp_path / name).write_bytes(content)
        assert refused({"path": str(tmp_path / name)}).startswith("not_audio: ")
    (tmp_path / "empty.wav").touch()
    assert refused({"path": str(tmp_path / "empty.wav")}).startswith("empty: ")


def test_paths_that_lead_to_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "link.wav").symlink_to(tmp_path / "nothing")
    (tmp_path / "loop.wav").symlink_to(tmp_path / "loop.wav")
    names = ["pipe.wav", "link.wav", "loop.wav", "", "a\0b.wav", "x" * 300, "\ud800.wav", "a.wav/b.wav"]
    (tmp_path / "a.wav").write_bytes(wav(tone())["bytes"])
    for path in [
        *(f"{tmp_path}/{name}" for name in names),
        f"file://{tmp_path}",
        "/dev/zero",
        "nowhere://a/b.wav",
        "://",
        "~nobody/a.wav",
    ]:
        assert refused({"path": path}).startswith("missing_file: "), path


def test_a_file_that_may_not_be_read_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "secret.wav"
    path.write_bytes(wav(tone())["bytes"])
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    assert refused({"path": str(path)}).startswith("missing_file: ")


def test_names_may_be_odd(tmp_path: Path) -> None:
    for name in (
        "a b.wav",
        "\u00e9\u4e2d#?%20.flac",
        "no suffix",
        "-i.mp3",
        "a:b.wav",
        "x\n.wav",
        "wrong suffix.mp3",
        "byte\udcff.wav",
    ):
        path = tmp_path / name
        path.write_bytes(wav(tone())["bytes"])
        np.testing.assert_array_equal(read({"path": str(path)}), tone())


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_samples_are_exact(subtype: str) -> None:
    bits = {"PCM_U8": 8, "PCM_16": 16, "PCM_24": 24}.get(subtype, 25)
    steps = np.round(tone() * 2 ** (bits - 1)).astype(np.float32) / np.float32(2 ** (bits - 1))
    np.testing.assert_array_equal(read(wav(steps, subtype=subtype)), steps)


@pytest.mark.parametrize(("subtype", "bits"), [("PCM_16", 16), ("PCM_24", 24)])
def test_flac_is_exact(subtype: str, bits: int) -> None:
    steps = np.round(tone() * 2 ** (bits - 1)).astype(np.float32) / np.float32(2 ** (bits - 1))
    np.testing.assert_array_equal(read({"bytes": wav_bytes(steps, subtype=subtype, format="FLAC")}), steps)


def test_sphere_files_are_read_and_half_of_one_is_truncated() -> None:
    steps = np.round(tone() * 2**15).astype(np.float32) / 2**15
    content = wav_bytes(steps, subtype="PCM_16", format="NIST")
    np.testing.assert_array_equal(read({"bytes": content}), steps)
    assert refused({"bytes": content[: len(content) // 2]}).startswith("truncated: ")


def test_a_disk_that_fails_is_named(tmp_path: Path) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 8_192:
                raise OSError(5, "Input/output error")
            return super().read(size)

    for suffix in (".flac", ".opus"):
        with pytest.raises(OSError, match="Input/output error"):
            decode(Failing(encoded(suffix, (), 5.0)), 30.0)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".m4a", ".ogg", ".mka"])
def test_eight_channels_are_averaged(suffix: str) -> None:
    options = {".ogg": ("-c:a", "libvorbis"), ".mka": ("-c:a", "libopus")}.get(suffix, ())
    wave = read(
        {"bytes": encoded(suffix, (*options, "-af", "pan=7.1|" + "|".join(f"c{n}=c0" for n in range(8))), 1.0, 48_000)}
    )
    assert 15_900 < len(wave) <= 16_000, "Vorbis begins a little late"
    assert np.corrcoef(wave, read(wav(tone(1.0, 48_000), 48_000))[: len(wave)])[0, 1] > 0.99


def test_a_wav_whose_recorder_was_killed_is_read_to_its_end() -> None:
    content = wav(tone(2.0), subtype="PCM_16")["bytes"]
    for size in (0, 0xFFFFFFFF, 0x7FFFF000):
        killed = bytearray(content)
        killed[4:8] = killed[40:44] = size.to_bytes(4, "little")
        np.testing.assert_array_equal(read({"bytes": bytes(killed)}), read({"bytes": content}))


def test_half_a_wav_says_how_much_is_missing() -> None:
    content = wav(tone(3.0), subtype="PCM_16")["bytes"]
    assert refused({"bytes": content[: len(content) // 2]}) == (
        "truncated: 1.50 s could be decoded of the 3.00 s that the file says it holds"
    )


def test_the_length_of_a_flac_that_was_written_to_a_pipe_is_what_it_holds() -> None:
    assert len(read({"bytes": encoded("pipe:flac", seconds=2.0)})) == 32_000


@pytest.mark.parametrize("seconds", [1.0, 3.0])
@pytest.mark.parametrize("rate", [16_000, 44_100])
@pytest.mark.parametrize("quiet", ["adelay=1500", "apad=pad_dur=3"])
def test_an_mp3_that_says_no_length_is_read_to_its_end(seconds: float, rate: int, quiet: str) -> None:
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


def test_files_that_were_put_together_are_read_whole() -> None:
    for suffix, options in ((".mp3", ()), (".opus", ()), (".ogg", ("-c:a", "libvorbis"))):
        one, two = encoded(suffix, options), encoded(suffix, options, 2.0)
        assert len(read({"bytes": one + two})) >= 16_000 * 2.95
    other_rate = encoded(".mp3") + encoded(".mp3", (), 2.0, 44_100)
    assert len(read({"bytes": other_rate})) >= 16_000 * 2.95


def test_damage_in_the_middle_is_named() -> None:
    def damaged(suffix: str, *options: str) -> dict:
        content = bytearray(encoded(suffix, options, 4.0))
        middle = len(content) * 4 // 5
        content[middle : middle + 300] = b"\x55" * 300
        return {"bytes": bytes(content)}

    for kind in ((".flac",), (".opus",), (".ogg", "-c:a", "libvorbis"), (".m4a", "-movflags", "+faststart")):
        assert refused(damaged(*kind)).startswith("truncated: "), kind


def test_a_cover_is_no_speech_and_the_default_stream_is_taken(tmp_path: Path) -> None:
    (tmp_path / "long.wav").write_bytes(wav(tone(2.0))["bytes"])
    (tmp_path / "short.wav").write_bytes(wav(tone(1.0))["bytes"])
    long, short = ("-i", str(tmp_path / "long.wav")), ("-i", str(tmp_path / "short.wav"))
    cover = ("-f", "lavfi", "-i", "testsrc=d=1:s=64x64:r=1")
    run(
        *long,
        *cover,
        "-map",
        "0",
        "-map",
        "1",
        "-c:v",
        "png",
        "-disposition:v",
        "attached_pic",
        str(tmp_path / "cover.mp3"),
    )
    run(
        *long,
        *short,
        "-map",
        "0",
        "-map",
        "1",
        "-disposition:a:0",
        "0",
        "-disposition:a:1",
        "default",
        str(tmp_path / "two.mka"),
    )
    run(*long, *short, "-map", "0", "-map", "1", str(tmp_path / "first.m4a"))
    assert {
        name: len(read({"path": str(tmp_path / name)})) / 16_000 for name in ("cover.mp3", "two.mka", "first.m4a")
    } == {
        "cover.mp3": 2.0,
        "two.mka": 1.0,
        "first.m4a": 2.0,
    }


def test_hours_are_refused_without_decoding_them() -> None:
    hours = run("-f", "lavfi", "-i", "anoisesrc=d=1800:r=8000:a=0.001", "-c:a", "flac", "-f", "flac", "pipe:1")
    with Counted(hours) as file:
        with pytest.raises(AudioError, match="^too_long: more than 30.00 s of audio, at most 30.00 s are taken$"):
            decode(file, 30.0)
        assert file.furthest < len(hours) / 10, "the rest was not even read"


@pytest.mark.parametrize(("seconds", "slug"), [(30.0, None), (30.1, "too_long")])
def test_the_longest_that_is_taken_is_taken_in_every_format(seconds: float, slug: str | None) -> None:
    for suffix in (".wav", ".flac", ".m4a", ".mp3", ".opus"):
        audio = {"bytes": encoded(suffix, (), seconds)}
        assert (refused(audio).partition(":")[0] if slug else len(read(audio))) == (slug or 480_000), suffix


@pytest.mark.parametrize("rate", [0, 1, 999, 4_000_000, 2**31 - 1])
def test_rates_that_no_speech_has(rate: int) -> None:
    content = bytearray(wav(tone(), subtype="PCM_16")["bytes"])
    content[24:28] = rate.to_bytes(4, "little")
    assert refused({"bytes": bytes(content)}).startswith("not_audio: ")


def test_no_file_names_another(tmp_path: Path) -> None:
    """A playlist that libav would follow to a file of this machine, or to the network, is no audio."""
    secret = tmp_path / "secret.wav"
    secret.write_bytes(wav(tone(2.0))["bytes"])
    lists = {
        "a.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{secret}\n#EXT-X-ENDLIST\n",
        "b.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
        "a.ffconcat": f"ffconcat version 1.0\nfile {secret}\n",
        "a.mpd": f"<MPD><Period><AdaptationSet><Representation><BaseURL>{secret}</BaseURL></Representation></AdaptationSet></Period></MPD>",
        "a.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=a\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n",
    }
    for name, text in lists.items():
        (tmp_path / name).write_text(text)
        for audio in ({"path": str(tmp_path / name)}, {"bytes": text.encode(), "path": name}):
            assert refused(audio).startswith("not_audio: "), name


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


def test_reasons_are_the_same_every_time() -> None:
    told = set()
    for _ in range(2):
        with pytest.raises(AudioError) as caught:
            read({"bytes": b"no audio at all" * 10})
        told.add(str(caught.value))
    assert len(told) == 1


def test_opus_is_small_and_close() -> None:
    wave = tone(5.0)
    packed = encode(wave)
    assert len(packed) * 8 / 5 < 30_000, "about 24 kbit/s"
    heard = read({"bytes": packed})
    assert len(heard) == len(wave)
    assert snr(wave, heard) > 20


def test_flac_is_lossless_to_16_bits() -> None:
    heard = read({"bytes": encode(tone(), "FLAC")})
    assert np.abs(heard - tone()).max() <= 2**-15


def test_another_format_is_refused() -> None:
    with pytest.raises(ValueError, match="OGG/OPUS or FLAC or WAV; got 'MP3'"):
        encode(tone(), "MP3")
