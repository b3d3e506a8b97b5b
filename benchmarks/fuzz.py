"""Fuzz the audio reader and the parser of a policy's output, guided by coverage (atheris).

    python benchmarks/fuzz.py audio -max_total_time=300     # options after the target go to libFuzzer
    python benchmarks/fuzz.py parser -max_total_time=300

The first input that gives neither a value nor a reason ends the run with an error, and is kept in the working folder.
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


def fuzz_audio(content: bytes) -> None:
    """Read bytes as audio; half of the inputs are corrupt files of a known format."""
    feed = atheris.FuzzedDataProvider(content)
    if feed.ConsumeBool():
        test_fuzz.read_reason(feed.ConsumeBytes(sys.maxsize))
        return
    file = bytearray(test_fuzz.FILES[sorted(test_fuzz.FILES)[feed.ConsumeIntInRange(0, len(test_fuzz.FILES) - 1)]])
    while feed.remaining_bytes() > 3:
        file[feed.ConsumeIntInRange(0, len(file) - 1)] = feed.ConsumeIntInRange(0, 255)
    test_fuzz.read_reason(bytes(file))


def fuzz_parser(content: bytes) -> None:
    """Parse any text as the output of a policy."""
    feed = atheris.FuzzedDataProvider(content)
    variant = list(Variant)[feed.ConsumeIntInRange(0, len(Variant) - 1)]
    parsed = parse(variant, feed.ConsumeUnicodeNoSurrogates(sys.maxsize))
    assert isinstance(parsed.reason, str) and parsed.reason


TARGETS = {"audio": fuzz_audio, "parser": fuzz_parser}


def main() -> None:
    """Fuzz the target that the command line names."""
    if sys.argv[1:2] in ([], ["-h"], ["--help"]):
        print(__doc__)
        return
    if sys.argv[1] not in TARGETS:
        sys.exit(f"unknown target {sys.argv[1]}; expected one of {', '.join(TARGETS)}")
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
