"""The code never unpickles outside files, except after a check of their hash, and never runs code from them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from factory.recipe.loading import load
from factory.recipe.typed import RecipeError

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = {
    ("factory/actors/child.py", "pickle.loads"),  # a message of its own parent, through a pipe
    ("trainers/launch.py", "cloudpickle.loads"),  # a message of the driver, through Ray
    ("factory/recipe/typed.py", "yaml.load"),  # with a subclass of SafeLoader, which refuses Python tags (see below)
    ("factory/models/codebook.py", "joblib.load"),  # after a check of the sha256 of the same bytes
}


def list_calls() -> Iterator[tuple[str, str, dict[str, ast.expr]]]:
    """Yield the file, the dotted name and the keywords of every call in the packages."""
    for folder in ("factory", "trainers", "schemas", "cluster"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call):
                    keywords = {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
                    yield str(path.relative_to(ROOT)), ast.unparse(node.func), keywords


def is_true(value: ast.expr | None) -> bool:
    """Return whether an expression is the constant True."""
    return isinstance(value, ast.Constant) and value.value is True


def test_only_allowed_calls_unpickle() -> None:
    unsafe = {
        "pickle.load",
        "pickle.loads",
        "cloudpickle.load",
        "cloudpickle.loads",
        "joblib.load",
        "dill.load",
        "yaml.load",
    }
    unsafe |= {"yaml.unsafe_load", "eval", "exec", "marshal.loads", "pd.read_pickle", "pandas.read_pickle"}
    assert {(path, name) for path, name, _ in list_calls() if name in unsafe} == ALLOWED


def test_torch_and_numpy_load_only_data_and_hubs_give_no_code() -> None:
    calls = list(list_calls())
    assert all(is_true(keywords.get("weights_only")) for _, name, keywords in calls if name == "torch.load")
    assert sum(name == "torch.load" for _, name, _ in calls) >= 2
    assert not any(
        is_true(keywords.get("allow_pickle")) or is_true(keywords.get("trust_remote_code")) for _, _, keywords in calls
    )


def test_a_recipe_runs_no_code(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(f"name: !!python/object/apply:os.mkdir ['{tmp_path}/made']")
    with pytest.raises(RecipeError, match="is not YAML: could not determine a constructor for the tag"):
        load(tmp_path / "r.yaml")
    assert not (tmp_path / "made").exists()
