"""tokenize: the utterances of a corpus are listed, and files that are no speech are reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from factory.corpora.base import CorpusError
from factory.passes.tokenize import list_speech
from tests.corpora.speech import put, tone


def test_what_is_left_out_of_a_corpus_is_printed(
    local_ray: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path / "fr/one.wav", tone())
    assert list_speech(str(tmp_path)) is not None
    assert capsys.readouterr().out == ""
    put(tmp_path / "fr/notes.txt", "no recording has this name")
    speech = list_speech(str(tmp_path))
    assert speech is not None and len(speech.ids) == 1
    assert capsys.readouterr().out == f"  left out of {tmp_path}: transcript without a recording 1\n"


def test_a_corpus_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="nowhere"):
        list_speech(str(tmp_path / "nowhere"))
