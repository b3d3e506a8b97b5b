"""What vLLM must not see when it starts."""

from __future__ import annotations

import os
import sys
from types import ModuleType

import pytest

from factory.models.vllm_start import NO_COMPILER, hide_unreadable_modules, without_compiler


class Raises:
    """As Flask's `request` outside of a request."""

    @property
    def __dict__(self) -> dict[str, object]:  # type: ignore[override]
        raise RuntimeError("Working outside of request context.")


class AnswersAll:
    """As llvmlite's library: every attribute is a function."""

    __dict__ = property(lambda self: len)  # type: ignore[assignment]


@pytest.mark.parametrize("value", [Raises(), AnswersAll()])
def test_a_module_that_cannot_be_read_is_hidden_for_a_while(value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, good = ModuleType("unreadable"), ModuleType("readable")
    bad.value, good.value = value, object()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "unreadable", bad)
    monkeypatch.setitem(sys.modules, "readable", good)
    with pytest.raises(KeyError, match="inside"), hide_unreadable_modules():
        assert "unreadable" not in sys.modules and "readable" in sys.modules and "sys" in sys.modules
        raise KeyError("inside")
    assert sys.modules["unreadable"] is bad


@pytest.mark.parametrize("before", [None, "0"])
def test_the_compiler_is_off_while_vllm_starts_and_no_longer(
    before: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(NO_COMPILER, raising=False)
    if before is not None:
        monkeypatch.setenv(NO_COMPILER, before)
    with pytest.raises(KeyError, match="inside"), without_compiler():
        assert os.environ[NO_COMPILER] == "1"
        raise KeyError("inside")
    assert os.environ.get(NO_COMPILER) == before
