"""libav: samples are exact, the right stream is taken, and no file names another one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from factory.corpora.audio import read
from tests.corpora.formats import refuse, wav
from tests.ffmpeg import encoded, run, tone
from tests.ffmpeg import wav as write_wav


def quantise(bits: int) -> np.ndarray:
    """Return the tone in steps that `bits` bits hold exactly."""
    return np.round(tone() * 2 ** (bits - 1)).astype(np.float32) / np.float32(2 ** (bits - 1))


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_samples_of_a_wav_are_exact(subtype: str) -> None:
    steps = quantise({"PCM_U8": 8, "PCM_16": 16, "PCM_24": 24}.get(subtype, 25))
    np.testing.assert_array_equal(read(wav(steps, subtype=subtype)), steps)


@pytest.mark.parametrize(("subtype", "bits"), [("PCM_16", 16), ("PCM_24", 24)])
def test_samples_of_a_flac_are_exact(subtype: str, bits: int) -> None:
    steps = quantise(bits)
    np.testing.assert_array_equal(read({"bytes": write_wav(steps, subtype=subtype, format="FLAC")}), steps)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".m4a", ".ogg", ".mka"])
def test_eight_channels_are_averaged(suffix: str) -> None:
    codec = {".ogg": ("-c:a", "libvorbis"), ".mka": ("-c:a", "libopus")}.get(suffix, ())
    eight = "pan=7.1|" + "|".join(f"c{channel}=c0" for channel in range(8))
    wave = read({"bytes": encoded(suffix, (*codec, "-af", eight), 1.0, 48_000)})
    assert 15_900 < len(wave) <= 16_000, "Vorbis begins a little late"
    assert np.corrcoef(wave, read(wav(tone(1.0, 48_000), 48_000))[: len(wave)])[0, 1] > 0.99


def test_the_default_stream_is_taken_and_a_cover_is_not(tmp_path: Path) -> None:
    (tmp_path / "long.wav").write_bytes(wav(tone(2.0))["bytes"])
    (tmp_path / "short.wav").write_bytes(wav(tone(1.0))["bytes"])
    long, short = ("-i", str(tmp_path / "long.wav")), ("-i", str(tmp_path / "short.wav"))
    cover = ("-f", "lavfi", "-i", "testsrc=d=1:s=64x64:r=1")
    both = ("-map", "0", "-map", "1")
    second = ("-disposition:a:0", "0", "-disposition:a:1", "default")
    files = {"cover.mp3": 2.0, "two.mka": 1.0, "first.m4a": 2.0}
    cover_mp3, two_mka, first_m4a = (str(tmp_path / name) for name in files)
    run(*long, *cover, *both, "-c:v", "png", "-disposition:v", "attached_pic", cover_mp3)
    run(*long, *short, *both, *second, two_mka)
    run(*long, *short, *both, first_m4a)
    assert {name: len(read({"path": str(tmp_path / name)})) / 16_000 for name in files} == files


@pytest.mark.parametrize("rate", [0, 1, 999, 4_000_000, 2**31 - 1])
def test_impossible_rates_are_refused(rate: int) -> None:
    content = bytearray(wav(tone(), subtype="PCM_16")["bytes"])
    content[24:28] = rate.to_bytes(4, "little")
    assert refuse({"bytes": bytes(content)}).startswith("not_audio: ")


def test_no_file_names_another(tmp_path: Path) -> None:
    """A playlist, which libav would follow to a file of this machine or to the network, is not audio."""
    secret = tmp_path / "secret.wav"
    secret.write_bytes(wav(tone(2.0))["bytes"])
    url = f"<BaseURL>{secret}</BaseURL>"
    lists = {
        "a.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{secret}\n#EXT-X-ENDLIST\n",
        "b.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
        "a.ffconcat": f"ffconcat version 1.0\nfile {secret}\n",
        "a.mpd": f"<MPD><Period><AdaptationSet><Representation>{url}</Representation></AdaptationSet></Period></MPD>",
        "a.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=a\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n",
    }
    for name, text in lists.items():
        (tmp_path / name).write_text(text)
        for audio in ({"path": str(tmp_path / name)}, {"bytes": text.encode(), "path": name}):
            assert refuse(audio).startswith("not_audio: "), name
