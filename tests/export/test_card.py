"""Cards: valid metadata, how the data was made, and a licence that is never guessed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from datasets import DatasetInfo
from huggingface_hub import DatasetCard, ModelCard

from factory.export.base import ExportedRound
from factory.export.card import (
    choose_licence,
    name_policy,
    render_dataset_card,
    render_model_card,
    render_round_section,
)
from factory.planning.places import Round
from tests.toy_run import toy_recipe


def test_the_dataset_card_has_valid_metadata(exported: Path) -> None:
    data = DatasetCard((exported / "README.md").read_text()).data.to_dict()
    assert (data["license"], data["language"], data["size_categories"]) == ("apache-2.0", ["fr", "en"], "n<1K")
    assert [config["config_name"] for config in data["configs"]] == ["round-1", "round-1-judgements"]
    assert data["configs"][0]["default"] is True and "default" not in data["configs"][1]
    assert {file["split"]: file["path"] for file in data["configs"][0]["data_files"]} == {
        split: f"data/round-1/{split}-*.parquet" for split in ("train", "test")
    }
    assert DatasetInfo._from_yaml_dict(data["dataset_info"][0]).features["chosen_audio"].sampling_rate == 16_000


def test_the_dataset_card_says_how_the_pairs_were_made(round_: Round, pairs: dict[str, object], exported: Path) -> None:
    text = DatasetCard((exported / "README.md").read_text()).text
    assert f"{len(pairs)} pairs of translations of spoken fr and en utterances" in text
    for part in (
        f'load_dataset("{exported}", "round-1"',
        "run_round.py --round 1",
        "package:whisper-base",
        "selected by bleu with a gap above δ = 0.1",
        "below_delta",
        f"0 of {len(pairs)} pairs have a malformed back-translation (0 chosen, 0 rejected), scored as worst.",
        "nrefs:1",
        "2 blind judgements by people are in the config `round-1-judgements`",
        "## Bias, Risks, and Limitations",
    ):
        assert part in text, part
    assert (
        "The accuracy of the labels was not measured." in text
        and "None" not in text
        and str(round_.run.uri) not in text
    )


def test_rounds_are_in_the_order_of_their_numbers_and_the_last_one_is_the_default() -> None:
    rounds: dict[str, ExportedRound] = {
        number: {
            "splits": {"train": {"num_examples": 600, "num_bytes": 1}},
            "bytes": 1,
            "format": "parquet",
            "judgements": 0,
            "section": f"### round-{number}",
        }
        for number in ("10", "9")
    }
    card = DatasetCard(render_dataset_card(toy_recipe(), rounds, "me/set", "cc0-1.0"))
    data = card.data.to_dict()
    assert (data["license"], data["size_categories"]) == ("cc0-1.0", "1K<n<10K")
    assert [(config["config_name"], config.get("default")) for config in data["configs"]] == [
        ("round-9", None),
        ("round-10", True),
    ]
    assert card.text.index("### round-9") < card.text.index("### round-10") and '"me/set", "round-10"' in card.text


def test_a_card_of_another_format_has_no_metadata_of_files() -> None:
    exported: ExportedRound = {
        "splits": {"train": {"num_examples": 600}},
        "bytes": 1,
        "format": "trl",
        "judgements": 0,
        "section": "",
    }
    card = DatasetCard(render_dataset_card(toy_recipe(), {"1": exported}, "me/set", None))
    assert "configs" not in card.data.to_dict() and "load_dataset" not in card.text
    assert "in the format `trl`" in card.text


def test_the_section_of_a_round_names_its_policy_and_its_judgements(round_: Round) -> None:
    section = render_round_section(round_, judgements=0)
    assert section.startswith("### round-1\n") and "blind judgements" not in section
    assert f"| policy | `{name_policy(round_)}` |" in section and "temperature" in section


def test_the_policy_is_the_finished_one_of_the_recipe_or_the_round_before(round_: Round) -> None:
    started = replace(round_, recipe=replace(round_.recipe, policy=replace(round_.recipe.policy, start="some/policy")))
    assert name_policy(started).partition("@")[0] == "some/policy"
    unstarted = replace(round_, recipe=replace(round_.recipe, policy=replace(round_.recipe.policy, start=None)))
    assert name_policy(unstarted).partition("@")[0] == "round-0"


def test_the_model_card_has_the_scores_of_the_test_set(round_: Round) -> None:
    card = ModelCard(render_model_card(round_, "me/policy", None, has_adapter=True))
    results = card.data.eval_results
    assert results and {result.metric_value for result in results} == {12.5}
    kinds = {"S2T BLEU": "bleu", "S2T chrF": "chrf", "ASR-BLEU": "bleu"}
    assert {result.metric_name: result.metric_type for result in results} == kinds
    for part in (
        "Trained by `dpo` on 10 preference pairs",
        'from_pretrained("me/policy")',
        "LoRA adapter alone in `adapter/`",
        "| S2T BLEU | fr-en | 10.00 | 12.50 [11.00, 13.00] | 2.50 [1.00, 4.00] | `sig` |",
        "Share of well-formed output: fr-en 1.0, en-fr 1.0",
    ):
        assert part in card.text, part
    assert "this round has no adapter" in render_model_card(round_, "me/policy", None, has_adapter=False)


def test_a_licence_is_never_guessed() -> None:
    recipe = toy_recipe()
    assert choose_licence(recipe, None).id == "apache-2.0" and choose_licence(recipe, "cc-by-4.0").id == "cc-by-4.0"
    other = choose_licence(replace(recipe, corpus=replace(recipe.corpus, mono="s3://mine")), None)
    assert other.id == "unknown" and "the speech in s3://mine was not stated" in other.note
