"""Digests of weights for fingerprints: a policy by its one digest, everything else by all of its files."""

from __future__ import annotations

from pathlib import Path

from factory.models.weights import policy_digest, weights_digest
from factory.passes.weights import digests
from tests.toys import tiny_policy


def test_a_policy_is_named_by_its_own_digest_and_other_weights_by_their_files(tmp_path: Path) -> None:
    policy = tiny_policy(tmp_path / "policy")
    before = digests({"policy": str(policy)})
    (policy / "training.json").write_text("{}")
    after = digests({"policy": str(policy), "vocoder.fr": str(policy)})
    assert before["policy"] == after["policy"] == policy_digest(policy)
    assert after["vocoder.fr"] == weights_digest(policy)
