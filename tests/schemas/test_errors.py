"""The root of errors that a user can fix."""

from __future__ import annotations

from schemas.errors import RoundtripError


def test_the_root_is_no_kind_of_bug() -> None:
    assert RoundtripError.__bases__ == (Exception,)
    assert str(RoundtripError("corpus.mono is missing")) == "corpus.mono is missing"
