"""The floating-point type of a machine, and its description."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from factory.models import device
from factory.models.device import describe_dtype, has_bf16_flag, resolve_dtype
from factory.planning.ready import describe_arithmetic
from factory.recipe.loading import load
from factory.recipe.recipe import Recipe

ROOT = Path(__file__).resolve().parent.parent.parent
HASWELL = "model name\t: Intel\nflags\t\t: fpu sse2 avx f16c avx2 bmi2\nbugs\t\t: spectre_v1\n"


@pytest.fixture(params=[True, False], ids=["bf16", "none"])
def units(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Make the machine of the test seem to have bf16 units, or none."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(device, "cpu_has_bf16", lambda: request.param)
    monkeypatch.setattr("factory.planning.ready.cpu_has_bf16", lambda: request.param)
    return bool(request.param)


@pytest.mark.parametrize(
    ("cpuinfo", "has"),
    [
        (HASWELL, False),
        (HASWELL.replace("avx2", "avx2 avx512f avx512_vnni"), False),
        (HASWELL.replace("avx2", "avx2 avx512f avx512_bf16 clzero"), True),
        (HASWELL.replace("bmi2", "amx_bf16"), True),
        (HASWELL.replace("Intel", "bf16"), False),
        ("processor\t: 0\nFeatures\t: fp asimd i8mm bf16 dgh\n", True),
        ("processor\t: 0\nFeatures\t: fp asimd asimddp\n", False),
        ("", False),
    ],
)
def test_bf16_units_are_found_in_the_flags(cpuinfo: str, has: bool) -> None:
    assert has_bf16_flag(cpuinfo) is has


def test_auto_depends_on_the_machine_and_other_settings_do_not(units: bool) -> None:
    assert resolve_dtype("auto", on_gpu=False) == ("bfloat16" if units else "float32")
    for setting in ("bfloat16", "float32"):
        assert resolve_dtype(setting, on_gpu=True) == resolve_dtype(setting, on_gpu=False) == setting


def test_a_cpu_needs_no_torch() -> None:
    code = "import sys; from factory.models.device import resolve_dtype; resolve_dtype('auto', on_gpu=False)"
    command = [sys.executable, "-c", f"{code}; print('torch' in sys.modules)"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout == "False\n"


def test_the_arithmetic_of_a_round_is_described(units: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = load(ROOT / "recipes/phrasebook.yaml")
    has, keys = (
        ("bfloat16", "has bf16") if units else ("float32", "has no bf16"),
        "resources.dtype, sft.precision and preference.precision",
    )
    assert describe_arithmetic(recipe) == f"arithmetic: {has[0]} (this CPU {has[1]} units; force it with {keys})"
    assert describe_arithmetic(_changed(recipe, dtype="float32")) == "arithmetic: float32 (forced by resources.dtype)"
    on_gpu = _changed(recipe, translator=replace(recipe.resources.translator, num_gpus=1.0))
    assert describe_arithmetic(on_gpu).startswith(
        "arithmetic: auto (bfloat16 on a GPU that has it, else float32) (each machine decides; force it"
    )
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    assert describe_dtype("auto", on_gpu=False) == f"auto ({has[0]} on the driver's CPU)"
    assert describe_dtype("float32", on_gpu=False) == "float32"


def _changed(recipe: Recipe, **changes: object) -> Recipe:
    return replace(recipe, resources=replace(recipe.resources, **changes))  # type: ignore[arg-type]
