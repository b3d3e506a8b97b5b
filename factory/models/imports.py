"""What transformers imports and nothing here uses."""

from __future__ import annotations


def skip_scikit_learn() -> None:
    """Let transformers not import scikit-learn, which takes it 1 to 2 s of a core: it serves assisted decoding alone.

    It takes effect where transformers has not loaded its networks yet.
    """
    import transformers.utils

    setattr(transformers.utils, "is_sklearn_available", lambda: False)  # noqa: B010  mypy takes it for a constant
