"""What audio files say about their own length, in bytes: whether one ends before its own end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO, Literal

_MOST_CHUNKS = 1_000
_LARGEST_OGG_PAGE = 65_307
_LONGEST_OPUS = 1 << 26  # bytes; hours
_EBML, _SEGMENT = b"\x1aE\xdf\xa3", b"\x18S\x80g"
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_MP4_BOXES = {b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"pnot"}


@dataclass(frozen=True)
class _Layout:
    """How a format writes its chunks: an id, a size, the content."""

    first: int  # bytes before the first chunk
    id_bytes: int
    size_bytes: int
    order: Literal["little", "big"]
    counts_header: bool  # whether a chunk's size includes its header
    align: int  # chunks begin at a multiple of this many bytes

    @property
    def unknown(self) -> int:
        """The size from which on it says nothing: recorders that write to a pipe put a little less than the largest number there."""
        return (1 << 8 * self.size_bytes - 1) - (1 << 16)


_IFF = _Layout(12, 4, 4, "little", False, 2)
_LAYOUTS = {
    (b"RIFF", b"WAVE"): _IFF,
    (b"RF64", b"WAVE"): _IFF,
    (b"BW64", b"WAVE"): _IFF,
    (b"FORM", b"AIFF"): _Layout(12, 4, 4, "big", False, 2),
    (b"FORM", b"AIFC"): _Layout(12, 4, 4, "big", False, 2),
    (b"riff", b"\xa5\xd6\x28\xdb"): _Layout(40, 16, 8, "little", True, 8),  # W64
}
_CAF = _Layout(8, 4, 8, "big", False, 1)
_SOUND = {b"data", b"SSND"}


def share_present(file: BinaryIO, size: int) -> float:
    """Return which share of the bytes that a container says it holds is there, in a file of `size` bytes.

    It is 1.0 where all of them are, and where the container does not say: no format has to, and recorders that were killed left 0 or the
    largest number. It is 0.0 where an MP4 file ends inside one of its boxes, which does not say how much sound is missing. WAV, RF64, W64,
    AIFF, CAF, AU, MP4, Matroska and ASF are known here. The file is left at its beginning.
    """
    file.seek(0)
    head = file.read(8_192)
    present, said = _sizes(file, head, size)
    file.seek(0)
    present = max(present, 0)
    return present / said if said > present else 1.0


def has_end(file: BinaryIO, size: int) -> bool:
    """Whether the last page of an Ogg file is whole and marked as a stream's end. The file is left at its beginning."""
    file.seek(max(size - 2 * _LARGEST_OGG_PAGE, 0))
    tail = file.read()
    file.seek(0)
    page = tail[max(tail.rfind(b"OggS"), 0) :]
    return len(page) > 27 and bool(page[5] & 4) and len(page) >= 27 + page[26] + sum(page[27 : 27 + page[26]])


def is_chained(file: BinaryIO) -> bool:
    """Whether an Ogg file holds one Opus stream behind another, as when two files were put together. It is left at its beginning."""
    content = file.read(_LONGEST_OPUS)
    file.seek(0)
    return content.count(b"OpusHead") > 1


def stated_samples(file: BinaryIO) -> int:
    """Return how many samples an MP3 file says it holds in its first frame (Xing's and LAME's header), 0 where it does not."""
    file.seek(0)
    head = file.read(10)
    tags = (
        10 + sum((byte & 127) << 7 * (3 - index) for index, byte in enumerate(head[6:10]))
        if head.startswith(b"ID3")
        else 0
    )
    file.seek(tags)
    frame = file.read(1 << 16).lstrip(b"\0")[:64]
    at = max(frame.find(b"Xing"), frame.find(b"Info"))
    if at < 4 or not int.from_bytes(frame[at + 4 : at + 8], "big") & 1:
        return 0
    is_mpeg1 = frame[1] & 0b11000 == 0b11000
    return int.from_bytes(frame[at + 8 : at + 12], "big") * (1152 if is_mpeg1 else 576)


def _sizes(file: BinaryIO, head: bytes, size: int) -> tuple[int, int]:
    """Return how many bytes of sound (or of the whole file) are there, and how many there should be; (0, 0) where nothing is said."""
    layout = (
        _CAF
        if head.startswith(b"caff")
        else _LAYOUTS.get((head[:4], b"\xa5\xd6\x28\xdb" if head[:4] == b"riff" else head[8:12]))
    )
    if layout:
        return _chunk_sizes(file, layout, size, _riff64_size(head))
    if head.startswith(b".snd"):
        said = int.from_bytes(head[8:12], "big")
        return (0, 0) if said >= 2**31 - 2**16 else (size - int.from_bytes(head[4:8], "big"), said)
    if head[4:8] in _MP4_BOXES:
        return _box_sizes(file, size)
    if head.startswith(_EBML):
        return _segment_sizes(head, size)
    return _asf_sizes(head, size) if head.startswith(_ASF) else (0, 0)


def _riff64_size(head: bytes) -> int:
    """Return the size of the sound that a RF64 or BW64 file gives in its first chunk, 0 for another format."""
    return int.from_bytes(head[28:36], "little") if head[:4] in (b"RF64", b"BW64") and head[12:16] == b"ds64" else 0


def _chunk_sizes(file: BinaryIO, layout: _Layout, size: int, long_size: int) -> tuple[int, int]:
    at, header = layout.first, layout.id_bytes + layout.size_bytes
    for _ in range(_MOST_CHUNKS):
        if at + header > size:
            break
        file.seek(at)
        chunk = file.read(header)
        length = int.from_bytes(chunk[layout.id_bytes :], layout.order)
        if chunk[:4] in _SOUND:
            length = long_size or length
            said = 0 if length >= layout.unknown and not long_size else length - header * layout.counts_header
            return (size - at - header, said) if said > 0 else (0, 0)
        at += max(length, header) if layout.counts_header else header + length
        at += -at % layout.align
    return 0, 0


def _box_sizes(file: BinaryIO, size: int) -> tuple[int, int]:
    """Walk the boxes of an MP4 file; the first that ends behind the file's end says what is missing."""
    at = 0
    for _ in range(_MOST_CHUNKS):
        file.seek(at)
        box = file.read(16)
        length = int.from_bytes(box[:4], "big")
        length = int.from_bytes(box[8:16], "big") if length == 1 else length
        if len(box) < 8 or length < 8 or not box[4:8].isalnum():
            break
        if at + length > size:
            return 0, length
        at += length
    return 0, 0


def _segment_sizes(head: bytes, size: int) -> tuple[int, int]:
    """Read the size of Matroska's segment, which holds everything behind the header."""
    length, width = _vint(head, 4)
    start = 4 + width + length
    if head[start : start + 4] != _SEGMENT:
        return 0, 0
    said, width = _vint(head, start + 4)
    unknown = (1 << 7 * width) - 1
    return (0, 0) if said == unknown else (size - start - 4 - width, said)


def _vint(content: bytes, at: int) -> tuple[int, int]:
    """Return a number of EBML, and its width in bytes: the zeros before its first set bit say the width, less one."""
    first = content[at] if at < len(content) else 0
    width = 9 - first.bit_length()
    return int.from_bytes(content[at : at + width], "big") & ((1 << 7 * width) - 1), width


def _asf_sizes(head: bytes, size: int) -> tuple[int, int]:
    """Read the file's size in an ASF header; a broadcast has none."""
    at = head.find(_ASF_PROPERTIES)
    if at < 0 or len(head) < at + 92 or head[at + 88] & 1:
        return 0, 0
    return size, int.from_bytes(head[at + 40 : at + 48], "little")
