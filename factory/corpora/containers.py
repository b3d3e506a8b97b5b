"""Reads the length that audio files state about themselves, to find files that are cut off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO, Literal

_MAX_CHUNKS = 1_000
_MAX_OGG_PAGE = 65_307
_MAX_OPUS_BYTES = 1 << 26  # hours
_EBML, _SEGMENT = b"\x1aE\xdf\xa3", b"\x18S\x80g"
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_W64 = bytes.fromhex("a5d628db")
_MP4_BOXES = {b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"pnot"}


@dataclass(frozen=True)
class _Layout:
    """How a format writes its chunks: an id, a size, the content."""

    first: int
    """Position of the first chunk."""
    id_bytes: int
    size_bytes: int
    order: Literal["little", "big"]
    counts_header: bool
    """Whether the size of a chunk includes its header."""
    align: int
    """Chunks begin at a multiple of this many bytes."""

    @property
    def unknown(self) -> int:
        """The smallest size that means "unknown": recorders that write to a pipe put almost the largest number."""
        return (1 << 8 * self.size_bytes - 1) - (1 << 16)


_IFF = _Layout(12, 4, 4, "little", False, 2)
_LAYOUTS = {
    (b"RIFF", b"WAVE"): _IFF,
    (b"RF64", b"WAVE"): _IFF,
    (b"BW64", b"WAVE"): _IFF,
    (b"FORM", b"AIFF"): _Layout(12, 4, 4, "big", False, 2),
    (b"FORM", b"AIFC"): _Layout(12, 4, 4, "big", False, 2),
    (b"riff", _W64): _Layout(40, 16, 8, "little", True, 8),
}
_CAF = _Layout(8, 4, 8, "big", False, 1)
_AUDIO_CHUNKS = {b"data", b"SSND"}


def share_present(file: BinaryIO, size: int) -> float:
    """Return the share of the stated bytes that a file of `size` bytes has, and move to its beginning.

    It is 1.0 if the file is complete, and if it states no size: no format has to, and a recorder that was killed leaves
    0 or the largest number. It is 0.0 if an MP4 file ends inside a box, which does not say how much audio is missing.
    Supported are WAV, RF64, W64, AIFF, CAF, AU, MP4, Matroska and ASF.
    """
    file.seek(0)
    head = file.read(8_192)
    present, stated = _read_sizes(file, head, size)
    file.seek(0)
    present = max(present, 0)
    return present / stated if stated > present else 1.0


def has_end(file: BinaryIO, size: int) -> bool:
    """Return whether the last page of an Ogg file is complete and marked as the end; move to the beginning."""
    file.seek(max(size - 2 * _MAX_OGG_PAGE, 0))
    tail = file.read()
    file.seek(0)
    page = tail[max(tail.rfind(b"OggS"), 0) :]
    return len(page) > 27 and bool(page[5] & 4) and len(page) >= 27 + page[26] + sum(page[27 : 27 + page[26]])


def is_chained(file: BinaryIO) -> bool:
    """Return whether an Ogg file holds several Opus streams, as joined files do; move to the beginning."""
    content = file.read(_MAX_OPUS_BYTES)
    file.seek(0)
    return content.count(b"OpusHead") > 1


def stated_samples(file: BinaryIO) -> int:
    """Return the samples that the first frame of an MP3 file states (Xing or LAME header); 0 if it states none."""
    file.seek(0)
    head = file.read(10)
    tag = 10 + sum((byte & 127) << 7 * (3 - index) for index, byte in enumerate(head[6:10]))
    file.seek(tag if head.startswith(b"ID3") else 0)
    frame = file.read(1 << 16).lstrip(b"\0")[:64]
    start = max(frame.find(b"Xing"), frame.find(b"Info"))
    if start < 4 or not int.from_bytes(frame[start + 4 : start + 8], "big") & 1:
        return 0
    is_mpeg1 = frame[1] & 0b11000 == 0b11000
    return int.from_bytes(frame[start + 8 : start + 12], "big") * (1152 if is_mpeg1 else 576)


def _read_sizes(file: BinaryIO, head: bytes, size: int) -> tuple[int, int]:
    """Return the present and the stated bytes of the audio (or of the whole file); (0, 0) if no size is stated."""
    kind = _W64 if head[:4] == b"riff" else head[8:12]
    layout = _CAF if head.startswith(b"caff") else _LAYOUTS.get((head[:4], kind))
    if layout:
        return _read_chunk_sizes(file, layout, size, _read_ds64_size(head))
    if head.startswith(b".snd"):
        stated = int.from_bytes(head[8:12], "big")
        return (0, 0) if stated >= 2**31 - 2**16 else (size - int.from_bytes(head[4:8], "big"), stated)
    if head[4:8] in _MP4_BOXES:
        return _read_box_sizes(file, size)
    if head.startswith(_EBML):
        return _read_segment_sizes(head, size)
    return _read_asf_sizes(head, size) if head.startswith(_ASF) else (0, 0)


def _read_ds64_size(head: bytes) -> int:
    """Return the size of the audio in the first chunk of an RF64 or BW64 file; 0 for another format."""
    return int.from_bytes(head[28:36], "little") if head[:4] in (b"RF64", b"BW64") and head[12:16] == b"ds64" else 0


def _read_chunk_sizes(file: BinaryIO, layout: _Layout, size: int, ds64_size: int) -> tuple[int, int]:
    start, header = layout.first, layout.id_bytes + layout.size_bytes
    for _ in range(_MAX_CHUNKS):
        if start + header > size:
            break
        file.seek(start)
        chunk = file.read(header)
        length = int.from_bytes(chunk[layout.id_bytes :], layout.order)
        if chunk[:4] in _AUDIO_CHUNKS:
            length = ds64_size or length
            stated = 0 if length >= layout.unknown and not ds64_size else length - header * layout.counts_header
            return (size - start - header, stated) if stated > 0 else (0, 0)
        start += max(length, header) if layout.counts_header else header + length
        start += -start % layout.align
    return 0, 0


def _read_box_sizes(file: BinaryIO, size: int) -> tuple[int, int]:
    """Read the boxes of an MP4 file up to the first that ends after the end of the file."""
    start = 0
    for _ in range(_MAX_CHUNKS):
        file.seek(start)
        box = file.read(16)
        length = int.from_bytes(box[:4], "big")
        length = int.from_bytes(box[8:16], "big") if length == 1 else length
        if len(box) < 8 or length < 8 or not box[4:8].isalnum():
            break
        if start + length > size:
            return 0, length
        start += length
    return 0, 0


def _read_segment_sizes(head: bytes, size: int) -> tuple[int, int]:
    """Read the size of Matroska's segment, which holds everything after the header."""
    length, width = _read_vint(head, 4)
    start = 4 + width + length
    if head[start : start + 4] != _SEGMENT:
        return 0, 0
    stated, width = _read_vint(head, start + 4)
    unknown = (1 << 7 * width) - 1
    return (0, 0) if stated == unknown else (size - start - 4 - width, stated)


def _read_vint(content: bytes, start: int) -> tuple[int, int]:
    """Return a variable-length number of EBML and its width in bytes: 1 + the zero bits before its first set bit."""
    first = content[start] if start < len(content) else 0
    width = 9 - first.bit_length()
    return int.from_bytes(content[start : start + width], "big") & ((1 << 7 * width) - 1), width


def _read_asf_sizes(head: bytes, size: int) -> tuple[int, int]:
    """Read the size of the file in an ASF header; a broadcast has none."""
    start = head.find(_ASF_PROPERTIES)
    if start < 0 or len(head) < start + 92 or head[start + 88] & 1:
        return 0, 0
    return size, int.from_bytes(head[start + 40 : start + 48], "little")
