"""CVSS and Common Voice in the layout of their archives, at toy size."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.corpora.speech import pack, put, tone

COLUMNS = "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccent"
SENTENCES = {
    "common_voice_fr_1": 'Il a dit "oui.',
    "common_voice_fr_2": "Où est la gare ?",
    "common_voice_fr_3": "Merci.",
    "common_voice_fr_9": "Seul.",
}
TRANSLATIONS = {
    "train": [("common_voice_fr_1", 'he said "yes'), ("common_voice_fr_7", "lost")],
    "dev": [("common_voice_fr_2", "where")],
    "test": [("common_voice_fr_3", "thanks")],
}


class Sources(NamedTuple):
    """The paths of CVSS and Common Voice."""

    cvss: Path
    common_voice: Path


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    """CVSS and Common Voice as folders; source clips last 0.5 s and more, translations 0.4 s."""
    root = tmp_path_factory.mktemp("corpora")
    cvss, common_voice = root / "cvss_c_fr_en_v1.0", root / "fr"
    lines = [COLUMNS, *(f"s{name[-1]}\t{name}.mp3\t{text}\t2\t0\t\t\t" for name, text in SENTENCES.items())]
    put(common_voice / "validated.tsv", "\n".join(lines))
    for index, name in enumerate(SENTENCES):
        put(common_voice / f"clips/{name}.mp3", tone(0.5 + index / 10))
    for split, pairs in TRANSLATIONS.items():
        put(cvss / f"{split}.tsv", "".join(f"{name}.mp3\t{text}\n" for name, text in pairs))
        for name, _ in pairs:
            put(cvss / f"{split}/{name}.mp3.wav", tone(0.4))
    return Sources(cvss, common_voice)


@pytest.fixture(params=["folders", "archives"])
def sources(request: pytest.FixtureRequest, folders: Sources, tmp_path: Path) -> Sources:
    """CVSS and Common Voice, as folders and as archives."""
    if request.param == "folders":
        return folders
    cvss = pack(folders.cvss, tmp_path / "cvss.tar.gz", "./")
    return Sources(cvss, pack(folders.common_voice, tmp_path / "fr.tar.gz", "cv-corpus-4/fr/"))
