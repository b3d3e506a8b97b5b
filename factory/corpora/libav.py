"""Decodes audio with libav, as `ffmpeg` does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np
import soxr

from factory.corpora.base import AudioError
from factory.corpora.containers import stated_samples

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer

TOLERANCE_S = 0.02
"""Seconds that may be missing of the stated duration."""
EXTRA_S = 1.0
"""Seconds that are decoded beyond the longest duration: padding is cut off before the duration is checked."""
_RATES = range(1_000, 1_000_001)
_FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,au,caf,eac3,flac,loas,matroska,matroska,webm,mov,mov,mp4,m4a,3gp,3g2,mj2,mp3,nistsphere,"
    "ogg,tta,voc,w64,wav,wv"
)
"""The formats that libav may recognise: containers of audio, and no playlist or device, which name other files."""
_OPTIONS = {
    "format_whitelist": _FORMATS,
    "protocol_whitelist": "none",
    "max_size": str(1 << 14),  # bytes per packet of a WAV: smaller packets are faster
    "max_probe_packets": "1",  # libav searches 16-bit WAV for DTS, which takes ten times as long as decoding
}
_MP4 = "mov,mp4,m4a,3gp,3g2,mj2"
_STATES_LENGTH = {"flac", "nistsphere", "ogg", "tta", "wv"}
"""Containers that always state their samples. MP3 may (`stated_samples`); others state bytes (`containers`)."""
_HOLDS_PACKETS = {"asf", "flac", "matroska,webm", _MP4}
"""Containers in which an undecodable packet is damage. In raw streams it may be a tag between packets."""
_TYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}


@dataclass
class Decoded:
    """The result of a decoder."""

    wave: np.ndarray
    """Shape (N,), float32: the mean of the channels."""
    rate: int
    """Sampling rate in Hz."""
    stated_s: float = 0.0
    """Duration in seconds that the container states; 0 if it states none."""
    refused: int = 0
    """Packets that could not be decoded."""
    tolerance_s: float = TOLERANCE_S
    """Seconds that may be missing of `stated_s`."""

    @property
    def seconds(self) -> float:
        """The decoded duration."""
        return len(self.wave) / self.rate


class Source:
    """A file as decoders read it: it has no name, so that only the content counts, and its callbacks raise nothing."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.error: OSError | None = None

    def read(self, size: int) -> bytes:
        """Return the next bytes. An error of the disk is kept for the caller and looks like the end of the file."""
        try:
            return self.file.read(size)
        except OSError as error:
            self.error = error
            return b""

    def seek(self, offset: int, whence: int) -> int:
        """Move to a position; return -1 if there is no such position."""
        try:
            return self.file.seek(offset, whence)
        except (OSError, ValueError):  # before the beginning
            return -1

    def tell(self) -> int:
        """Return the position."""
        return self.file.tell()


def decode_with_libav(source: Source, max_s: float) -> Decoded:
    """Decode a file, but not much more than `max_s` seconds. Raises AudioError not_audio or truncated."""
    import av

    try:
        with av.open(source, mode="r", container_options=_OPTIONS, metadata_errors="replace") as container:
            decoded = _decode_stream(container, _choose_stream(container), max_s)
    except av.error.EOFError as error:
        raise AudioError("truncated", "the file ends before its first sample") from error
    except (av.FFmpegError, MemoryError) as error:
        message = getattr(error, "strerror", None) or type(error).__name__
        raise AudioError("not_audio", f"the format cannot be decoded ({message})") from error
    if container.format.name == "mp3":  # libav guesses the duration from the bit rate; joined files state one part
        decoded.stated_s = min(decoded.stated_s, stated_samples(source.file) / decoded.rate)
        frame = 576 if decoded.rate < 32_000 else 1_152
        decoded.tolerance_s += frame / decoded.rate  # some encoders count the header as a frame
    return decoded


def _choose_stream(container: InputContainer) -> AudioStream:
    """Return the stream that ffmpeg would: a default stream first, then the most channels, then the first."""
    from av.stream import Disposition

    streams = [stream for stream in container.streams.audio if stream.codec_context is not None]
    if not streams:
        raise AudioError("not_audio", "the file holds no audio that can be decoded")
    return max(
        streams, key=lambda stream: (bool(stream.disposition & Disposition.default), stream.codec_context.channels)
    )


@dataclass
class _Frames:
    """The decoded frames of a stream, in order; counts the packets that gave frames and those that gave none."""

    container: InputContainer
    stream: AudioStream
    decoded: int = 0
    refused: int = 0
    last_error: str = ""

    def __iter__(self) -> Iterator[AudioFrame]:
        """Yield all frames; skip a packet that cannot be decoded, as ffmpeg does."""
        import av

        packets = self.container.demux(self.stream)
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError as error:
                self._refuse(error.strerror)
                return
            if packet is None:
                return
            try:
                frames = packet.decode()
            except av.FFmpegError as error:
                self._refuse(error.strerror)
                continue
            self.decoded += bool(frames)
            yield from frames

    def _refuse(self, message: str | None) -> None:
        self.refused += 1
        self.last_error = message or "unknown error"


def _decode_stream(container: InputContainer, stream: AudioStream, max_s: float) -> Decoded:
    frames = _Frames(container, stream)
    wave, rate = _join(_collect(frames, max_s))
    name = container.format.name
    stated_s = float((stream.duration or 0) * (stream.time_base or 0))
    if frames.refused > frames.decoded and not (name in _STATES_LENGTH and stated_s):
        raise AudioError(
            "not_audio", f"the decoder refused {frames.refused} packets and took {frames.decoded} ({frames.last_error})"
        )
    wave = _cut_padding(wave, round(stated_s * rate), stream) if name == _MP4 and stream.frames else wave
    stated_s = stated_s if name in _STATES_LENGTH or name == "mp3" else 0.0
    is_complete = 0 < round(stated_s * rate) <= len(wave)  # then the refused packets are tags after the audio
    return Decoded(wave, rate, stated_s, frames.refused if name in _HOLDS_PACKETS and not is_complete else 0)


def _collect(frames: Iterable[AudioFrame], max_s: float) -> list[tuple[int, np.ndarray]]:
    """Return rate and samples of each frame, up to `max_s` + EXTRA_S seconds: hours are never held in memory."""
    blocks, seconds = [], 0.0
    for frame in frames:
        if frame.sample_rate not in _RATES:
            raise AudioError("not_audio", f"the sampling rate is {frame.sample_rate} Hz; expected 1 kHz to 1 MHz")
        blocks.append((frame.sample_rate, _average_channels(frame)))
        seconds += frame.samples / frame.sample_rate
        if seconds > max_s + EXTRA_S:
            break
    return blocks


def _join(blocks: list[tuple[int, np.ndarray]]) -> tuple[np.ndarray, int]:
    """Join the blocks to one waveform at the rate of the first: joined MP3 files may have several rates."""
    if not blocks:
        return np.zeros(0, np.float32), _RATES[0]
    rate = blocks[0][0]
    waves = [(own, np.concatenate([block for _, block in run])) for own, run in groupby(blocks, key=itemgetter(0))]
    return np.concatenate([wave if own == rate else soxr.resample(wave, own, rate) for own, wave in waves]), rate


def _average_channels(frame: AudioFrame) -> np.ndarray:
    """Return the mean of a frame's channels, (N,), float32; integers of n bits are divided by 2^(n - 1)."""
    channels = frame.layout.nb_channels
    if frame.format.is_planar:  # frame.to_ndarray() reads out of bounds with more than seven channels
        samples = np.stack([_read_plane(frame, index, frame.samples) for index in range(channels)], axis=1)
    else:
        samples = _read_plane(frame, 0, frame.samples * channels).reshape(-1, channels)
    with np.errstate(over="ignore", invalid="ignore"):  # infinity is refused later
        return cast(np.ndarray, _scale(samples).mean(axis=1))


def _read_plane(frame: AudioFrame, index: int, count: int) -> np.ndarray:
    from av.audio.plane import AudioPlane

    return np.frombuffer(memoryview(AudioPlane(frame, index)), _TYPES[frame.format.name.rstrip("p")], count)


def _scale(samples: np.ndarray) -> np.ndarray:
    wave = samples.astype(np.float32)
    if samples.dtype.kind == "f":
        return wave
    full = np.float32(1 << 8 * samples.dtype.itemsize - 1)
    return (wave - full if samples.dtype.kind == "u" else wave) / full


def _cut_padding(wave: np.ndarray, stated: int, stream: AudioStream) -> np.ndarray:
    """Cut the padding of the last AAC frame of an MP4 file to `stated` samples, as ffmpeg does since version 9."""
    padding = len(wave) - stated
    is_padded = stream.codec_context.name == "aac" and 0 < padding <= stream.codec_context.frame_size
    return wave[:stated] if is_padded else wave
