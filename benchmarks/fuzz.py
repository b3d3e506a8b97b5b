"""Fuzzes what reads strangers' bytes, guided by coverage (atheris): the audio reader and the parser of a policy's output.

    python benchmarks/fuzz.py audio -max_total_time=300     # what stands behind the target's name goes to libFuzzer
    python benchmarks/fuzz.py parser -max_total_time=300

It ends with an error, and keeps the input in the working folder, at the first input that gives anything else than a
value or a reason.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

with atheris.instrument_imports(include=["factory.corpora", "schemas.sequences", "soundfile"]):
    import test_fuzz

    from factory.corpora.audio import read  # noqa: F401
    from schemas.sequences import Variant, parse


def audio(content: bytes) -> None:
    """Read bytes as audio, half of the time as a spoilt file of a known format."""
    feed = atheris.FuzzedDataProvider(content)
    if feed.ConsumeBool():
        test_fuzz.heard(feed.ConsumeBytes(sys.maxsize))
        return
    whole = bytearray(test_fuzz.FILES[sorted(test_fuzz.FILES)[feed.ConsumeIntInRange(0, len(test_fuzz.FILES) - 1)]])
    while feed.remaining_bytes() > 3:
        whole[feed.ConsumeIntInRange(0, len(whole) - 1)] = feed.ConsumeIntInRange(0, 255)
    test_fuzz.heard(bytes(whole))


def parser(content: bytes) -> None:
    """Read any text as a policy's output."""
    feed = atheris.FuzzedDataProvider(content)
    variant = list(Variant)[feed.ConsumeIntInRange(0, len(Variant) - 1)]
    parsed = parse(variant, feed.ConsumeUnicodeNoSurrogates(sys.maxsize))
    assert isinstance(parsed.reason, str) and parsed.reason


if __name__ == "__main__":
    target = {"audio": audio, "parser": parser}[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()
