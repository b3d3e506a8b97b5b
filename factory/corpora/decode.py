"""Encoded audio to samples. libav decodes every format but one, so that a file is what `ffmpeg` makes of it.

Opus in Ogg, the format that this project writes, goes through libsndfile: it decodes speech of 16 kHz at 16 kHz, where libav gives 48 kHz
that would have to be resampled. Everything else is the same to the bit from both, or to float's noise (Vorbis).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import soundfile
import soxr

from factory.corpora.containers import has_end, is_chained, share_present, stated_samples
from schemas.errors import RoundtripError

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer

SLACK_S = 0.02
"""Seconds of what a file says it holds that may lack."""
_BEYOND_S = 1.0
"""Seconds that are decoded beyond the longest that is taken: padding at the end is cut off before the length is judged."""
_RATES = range(1_000, 1_000_001)
_DEMUXERS = "aac,ac3,aiff,amr,ape,asf,au,caf,eac3,flac,loas,matroska,matroska,webm,mov,mov,mp4,m4a,3gp,3g2,mj2,mp3,nistsphere,ogg,tta,voc,w64,wav,wv"
"""What libav may take a file for: containers that hold sound. No playlist, image or device, which would name other files."""
_OPTIONS = {
    "format_whitelist": _DEMUXERS,
    "protocol_whitelist": "none",
    "max_size": str(1 << 14),  # bytes of a WAV's packet: fewer of them are faster
    "max_probe_packets": "1",  # every WAV of 16 bits was searched for DTS, which takes ten times as long as to decode it
}
_MP4 = "mov,mp4,m4a,3gp,3g2,mj2"
_SAYS_LENGTH = {"flac", "nistsphere", "ogg", "tta", "wv"}
"""Containers that always say how many samples they hold; MP3 may (`stated_samples`), and those that say bytes are in `containers`."""
_HOLDS_PACKETS = {"asf", "flac", "matroska,webm", _MP4}
"""Containers where a packet that cannot be decoded is damage; raw streams may have tags and the like between packets."""
_TYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}


class AudioError(RoundtripError):
    """Audio that cannot be used; its text is `slug: sentence`, so that reasons can be counted."""

    def __init__(self, slug: str, sentence: str) -> None:
        super().__init__(f"{slug}: {sentence}")
        self.slug = slug


@dataclass
class _Decoded:
    """What a decoder made of a file."""

    wave: np.ndarray  # (N,), float32, the channels' mean
    rate: int  # samples a second
    said_s: float = 0.0  # seconds that the container says it holds; 0 where it does not
    refused: int = 0  # packets that could not be decoded
    slack_s: float = SLACK_S  # seconds that may lack of `said_s`

    @property
    def seconds(self) -> float:
        return len(self.wave) / self.rate


class _Readable:
    """A file as decoders read it: without a name, so that bytes and files are recognised alike; no error leaves their callbacks."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.error: OSError | None = None

    def read(self, size: int) -> bytes:
        """Return the next bytes; an error of the disk is kept, and looks like the end of the file to libav."""
        try:
            return self.file.read(size)
        except OSError as error:
            self.error = error  # raised when the decoder is done
            return b""

    def seek(self, offset: int, whence: int) -> int:
        try:
            return self.file.seek(offset, whence)
        except (OSError, ValueError):  # before the beginning
            return -1

    def tell(self) -> int:
        return self.file.tell()


def decode(file: BinaryIO, max_s: float) -> tuple[np.ndarray, int]:
    """Decode a file to the mean of its channels at its own rate; not much more than `max_s` seconds are ever decoded.

    Args:
        file: open for reading and seeking; nothing but this file is read.
        max_s: seconds; a longer recording is refused.

    Returns:
        The wave of shape (N,), float32, and its sampling rate in Hz.

    Raises:
        AudioError: not_audio, truncated, too_long.
        OSError: where the file cannot be read to its end.
    """
    size = file.seek(0, os.SEEK_END)
    share = share_present(file, size)
    head = file.read(36)
    file.seek(0)
    is_ogg = head.startswith(b"OggS")
    ends = not is_ogg or has_end(file, size)
    is_opus = (
        is_ogg and head.endswith(b"OpusHead") and not is_chained(file)
    )  # libsndfile stops where another stream begins
    source = _Readable(file)
    try:
        decoded = _with_libsndfile(source, max_s) if is_opus else _with_libav(source, max_s)
    except AudioError as error:
        if source.error:
            raise source.error from error
        if share == 1 and ends:
            raise
        raise AudioError(
            "truncated", "the end of the file is missing, and nothing can be decoded without it"
        ) from error
    if source.error:
        raise source.error
    _check_length(decoded, max_s, share, ends)
    return decoded.wave, decoded.rate


def _check_length(decoded: _Decoded, max_s: float, share: float, ends: bool) -> None:
    seconds = decoded.seconds
    if seconds > max_s:
        raise AudioError("too_long", f"more than {max_s:.2f} s of audio, at most {max_s:.2f} s are taken")
    said = max(decoded.said_s, seconds / share if share else 0)
    if said - seconds > decoded.slack_s:
        raise AudioError(
            "truncated", f"{seconds:.2f} s could be decoded of the {said:.2f} s that the file says it holds"
        )
    if not ends or not share or (share < 1 and not seconds):
        raise AudioError("truncated", f"{seconds:.2f} s could be decoded, and the end of the file is missing")
    if decoded.refused:
        raise AudioError(
            "truncated", f"{seconds:.2f} s could be decoded, and {decoded.refused} of the file's packets could not"
        )


def _with_libsndfile(source: _Readable, max_s: float) -> _Decoded:
    try:
        with soundfile.SoundFile(source) as sound:
            wave = sound.read(int((max_s + _BEYOND_S) * sound.samplerate), dtype="float32", always_2d=True)
            return _Decoded(wave.mean(axis=1), sound.samplerate, sound.frames / sound.samplerate)
    except soundfile.LibsndfileError as error:
        raise AudioError(
            "not_audio", f"the bytes are in no format that can be decoded ({error.error_string})"
        ) from error


def _with_libav(source: _Readable, max_s: float) -> _Decoded:
    import av

    try:
        with av.open(source, mode="r", container_options=_OPTIONS, metadata_errors="replace") as container:
            decoded = _decode_stream(container, _choose_stream(container), max_s)
    except av.error.EOFError as error:
        raise AudioError("truncated", "the file ends before its first sample") from error
    except (av.FFmpegError, MemoryError) as error:
        message = getattr(error, "strerror", None) or type(error).__name__
        raise AudioError("not_audio", f"the bytes are in no format that can be decoded ({message})") from error
    if (
        container.format.name == "mp3"
    ):  # libav guesses from a bit rate where the file says nothing, or is two put together
        decoded.said_s = min(decoded.said_s, stated_samples(source.file) / decoded.rate)
        decoded.slack_s += (
            576 if decoded.rate < 32_000 else 1_152
        ) / decoded.rate  # some encoders count the header as a frame
    return decoded


def _choose_stream(container: InputContainer) -> AudioStream:
    """Return the stream that ffmpeg takes: a default one before others, then the one with most channels, then the first."""
    from av.stream import Disposition

    streams = [stream for stream in container.streams.audio if stream.codec_context is not None]
    if not streams:
        raise AudioError("not_audio", "the file holds no sound that can be decoded")
    return max(
        streams, key=lambda stream: (bool(stream.disposition & Disposition.default), stream.codec_context.channels)
    )


@dataclass
class _Frames:
    """The decoded frames of a stream, one after the other; counts the packets that gave none."""

    container: InputContainer
    stream: AudioStream
    decoded: int = 0
    refused: int = 0
    last_error: str = ""

    def __iter__(self) -> Iterator[AudioFrame]:
        """Yield frames to the end of the file; a packet that cannot be decoded is passed by, as ffmpeg does."""
        import av

        packets = self.container.demux(self.stream)
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError as error:
                self._refuse(error)
                return
            if packet is None:
                return
            try:
                frames = packet.decode()
            except av.FFmpegError as error:
                self._refuse(error)
                continue
            self.decoded += bool(frames)
            yield from frames

    def _refuse(self, error: Any) -> None:
        self.refused += 1
        self.last_error = error.strerror


def _decode_stream(container: InputContainer, stream: AudioStream, max_s: float) -> _Decoded:
    frames = _Frames(container, stream)
    wave, rate = _join(_collect(frames, max_s))
    name = container.format.name
    said = float((stream.duration or 0) * (stream.time_base or 0))
    if frames.refused > frames.decoded and not (name in _SAYS_LENGTH and said):
        raise AudioError(
            "not_audio", f"the decoder refused {frames.refused} packets and took {frames.decoded} ({frames.last_error})"
        )
    wave = _without_padding(wave, round(said * rate), stream) if name == _MP4 and stream.frames else wave
    said = said if name in _SAYS_LENGTH or name == "mp3" else 0.0
    is_whole = 0 < round(said * rate) <= len(wave)  # what was refused are tags behind the sound
    return _Decoded(wave, rate, said, frames.refused if name in _HOLDS_PACKETS and not is_whole else 0)


def _collect(frames: Iterable[AudioFrame], max_s: float) -> list[tuple[int, np.ndarray]]:
    """Return rate and samples of each frame until there is more than can be taken: hours of a stream are never held in memory."""
    blocks, seconds = [], 0.0
    for frame in frames:
        if frame.sample_rate not in _RATES:
            raise AudioError("not_audio", f"a sampling rate of {frame.sample_rate} Hz, which no speech has")
        blocks.append((frame.sample_rate, _mono(frame)))
        seconds += frame.samples / frame.sample_rate
        if seconds > max_s + _BEYOND_S:
            break
    return blocks


def _join(blocks: list[tuple[int, np.ndarray]]) -> tuple[np.ndarray, int]:
    """Return the blocks as one wave at the first one's rate: MP3 files that were put together may change theirs."""
    if not blocks:
        return np.zeros(0, np.float32), _RATES[0]
    rate = blocks[0][0]
    runs = [(of, np.concatenate([block for _, block in run])) for of, run in groupby(blocks, key=itemgetter(0))]
    return np.concatenate([wave if of == rate else soxr.resample(wave, of, rate) for of, wave in runs]), rate


def _mono(frame: AudioFrame) -> np.ndarray:
    """Return the mean of a frame's channels; integers of n bits are divided by 2 to the n - 1."""
    channels = frame.layout.nb_channels
    if frame.format.is_planar:  # frame.to_ndarray() reads beyond the planes of more than seven channels
        samples = np.stack([_plane(frame, index, frame.samples) for index in range(channels)], axis=1)
    else:
        samples = _plane(frame, 0, frame.samples * channels).reshape(-1, channels)
    with np.errstate(over="ignore", invalid="ignore"):  # what becomes infinite is refused as such
        return _scale(samples).mean(axis=1)


def _plane(frame: AudioFrame, index: int, count: int) -> np.ndarray:
    from av.audio.plane import AudioPlane

    return np.frombuffer(memoryview(AudioPlane(frame, index)), _TYPES[frame.format.name.rstrip("p")], count)


def _scale(samples: np.ndarray) -> np.ndarray:
    wave = samples.astype(np.float32)
    if samples.dtype.kind == "f":
        return wave
    full = np.float32(1 << 8 * samples.dtype.itemsize - 1)
    return (wave - full if samples.dtype.kind == "u" else wave) / full


def _without_padding(wave: np.ndarray, said: int, stream: AudioStream) -> np.ndarray:
    """Cut what fills the last AAC frame of an MP4 file, as ffmpeg does since its version 9."""
    padding = len(wave) - said
    return (
        wave[:said] if stream.codec_context.name == "aac" and 0 < padding <= stream.codec_context.frame_size else wave
    )
