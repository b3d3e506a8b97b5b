"""Names of weights for actors, and digests for fingerprints: a policy by its own digest, other weights by all files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from factory.models.weights import policy_digest, weights_digest
from factory.passes.weights import (
    actor_encoder,
    actor_recognizer,
    actor_vocoders,
    actor_weights,
    compute_digests,
    count_units,
    local_weights,
)
from factory.recipe.loading import load
from tests.toys import tiny_policy


def test_a_policy_is_named_by_its_own_digest_and_other_weights_by_their_files(tmp_path: Path) -> None:
    policy = tiny_policy(tmp_path / "policy")
    before = compute_digests({"policy": str(policy)})
    (policy / "training.json").write_text("{}")
    after = compute_digests({"policy": str(policy), "vocoder.fr": str(policy)})
    assert before["policy"] == after["policy"] == policy_digest(policy)
    assert after["vocoder.fr"] == weights_digest(policy)


def test_an_actor_finds_local_files_by_their_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "voice").mkdir()
    monkeypatch.chdir(tmp_path)
    assert actor_weights("voice") == str(tmp_path / "voice")
    assert actor_weights("voice#sha256=12") == f"{tmp_path}/voice#sha256=12"
    assert local_weights("voice") == Path("voice")
    for name in ("package:whisper-base", "owner/name@main", "s3://bucket/voice#sha256=12"):
        assert actor_weights(name) == name


def test_the_sections_for_actors_differ_in_their_paths_only(tmp_path: Path) -> None:
    recipe = load("recipes/phrasebook.yaml")
    encoder = actor_encoder(recipe)
    assert Path(encoder.codebook).is_absolute() and encoder.model == "package:whisper-base"
    assert replace(encoder, codebook=recipe.encoder.codebook) == recipe.encoder
    assert all(Path(path).is_absolute() and Path(path).exists() for path in actor_vocoders(recipe).values())
    local = replace(recipe, recognizer=replace(recipe.recognizer, model=str(tmp_path), beam_size=3))
    assert actor_recognizer(local) == local.recognizer
    assert count_units(recipe) == 200
