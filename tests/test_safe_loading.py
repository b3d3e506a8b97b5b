"""Outside files are never unpickled: what could run code when it is opened is nowhere in our code but behind a hash."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from factory.recipe.loading import load
from factory.recipe.typed import RecipeError

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = {
    ("factory/actors/child.py", "pickle.loads"),  # its own parent's words, through a pipe
    ("trainers/launch.py", "cloudpickle.loads"),  # the driver's own words, through Ray
    (
        "factory/recipe/typed.py",
        "yaml.load",
    ),  # with a loader made of SafeLoader; the test of recipes shows that a Python tag is refused
    ("factory/models/codebook.py", "joblib.load"),  # after the sha256 of the very bytes was checked
}


def calls() -> Iterator[tuple[str, str, dict[str, ast.expr]]]:
    """Yield every call in the packages: the file, the dotted name, the keywords."""
    for folder in ("factory", "trainers", "schemas", "cluster"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call):
                    keywords = {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
                    yield str(path.relative_to(ROOT)), ast.unparse(node.func), keywords


def is_true(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Constant) and value.value is True


def test_nothing_unpickles_what_it_did_not_write() -> None:
    opening = {
        "pickle.load",
        "pickle.loads",
        "cloudpickle.load",
        "cloudpickle.loads",
        "joblib.load",
        "dill.load",
        "yaml.load",
    }
    opening |= {"yaml.unsafe_load", "eval", "exec", "marshal.loads", "pd.read_pickle", "pandas.read_pickle"}
    assert {(path, name) for path, name, _ in calls() if name in opening} == ALLOWED


def test_torch_and_numpy_load_data_only_and_no_code_comes_from_a_hub() -> None:
    found = list(calls())
    assert all(is_true(keywords.get("weights_only")) for _, name, keywords in found if name == "torch.load")
    assert sum(name == "torch.load" for _, name, _ in found) >= 2
    assert not any(
        is_true(keywords.get("allow_pickle")) or is_true(keywords.get("trust_remote_code")) for _, _, keywords in found
    )


def test_a_recipe_runs_no_code(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(f"name: !!python/object/apply:os.mkdir ['{tmp_path}/made']")
    with pytest.raises(RecipeError, match="is no YAML: could not determine a constructor for the tag"):
        load(tmp_path / "r.yaml")
    assert not (tmp_path / "made").exists()
