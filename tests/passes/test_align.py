"""align: what is aligned with what is written down, and weights that cannot be used end the pass with a sentence."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.passes.align import align
from factory.passes.progress import Clock
from factory.passes.tokenize import list_speech
from factory.recipe.loading import load
from factory.recipe.typed import RecipeError
from factory.storage.dataset import DatasetDir
from factory.storage.manifest import FingerprintMismatch
from schemas.datasets import ALIGNED
from tests.corpora.speech import tone
from tests.models.ctc_models import save_ctc


def test_a_ctc_model_aligns_a_corpus_and_other_weights_are_another_dataset(local_ray: None, tmp_path: Path) -> None:
    texts = {"a/fr": "bonjour à tous", "b/fr": "привет", "c/en": None}
    rows = [
        {"utt_id": utt_id, "lang": utt_id[-2:], "text": text, "audio": {"bytes": tone(1.5), "path": None}}
        for utt_id, text in texts.items()
    ]
    corpus, clock = str(tmp_path / "speech.parquet"), Clock(str(tmp_path))
    pq.write_table(pa.Table.from_pylist(rows), corpus)
    speech = list_speech(corpus)
    assert speech is not None
    out = DatasetDir(str(tmp_path / "words"), ALIGNED)
    with pytest.raises(RecipeError, match="aligner must be a section of the recipe to align words; got null"):
        align(corpus, speech, load(None), out, clock)
    weights = save_ctc(tmp_path / "ctc")
    recipe = load(None, [f"aligner={{kind: ctc, model: {weights}}}"])
    for _ in range(2):  # the second run has nothing to do
        align(corpus, speech, recipe, out, clock)
    assert out.manifest().by_status == {"ok": 1, "skipped": 2}
    assert out.manifest().by_reason == {"not_writable": 1, "no_text": 1}
    by_id = {row["utt_id"]: row for row in out.rows().to_pylist()}
    words = by_id["a/fr"]["words"]
    assert [word["text"] for word in words] == ["bonjour", "à", "tous"]
    assert 0 <= words[0]["start"] < words[-1]["end"] <= 75
    assert by_id["b/fr"]["reason"].startswith("not_writable: the aligner") and by_id["b/fr"]["words"] is None
    other = save_ctc(tmp_path / "other", "HubertForCTC")
    with pytest.raises(FingerprintMismatch, match="aligner"):
        align(corpus, speech, load(None, [f"aligner={{kind: ctc, model: {other}}}"]), out, clock)
