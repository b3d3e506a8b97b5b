"""The reward in a real step of TRL's GRPOTrainer, on the station's policy."""

from __future__ import annotations

from pathlib import Path

import pytest

from factory.recipe.loading import load
from factory.rewards.round_trip import Answer, Question, RoundTripRewards
from factory.rewards.trl import RoundTripReward
from schemas.sequences import EOS, Variant, completion, prompt

ROOT = Path(__file__).resolve().parent.parent.parent
POLICY = str(ROOT / "assets/station/policy")
SOURCE = "le bus de marseille arrive à quatre heures vingt-trois"


class Scripted:
    """Answers with the number of characters of a candidate's text as its score, and remembers the candidates."""

    def __init__(self) -> None:
        self.asked: list[Question] = []

    def score(self, questions: list[Question]) -> list[Answer]:
        """Return a score by both metrics for each candidate."""
        self.asked += questions
        lengths = [len(question.text or "") / 100 for question in questions]
        return [{"scores": {"bleu": n, "wer": n}, "back_translation": None, "finish": "ok"} for n in lengths]


def test_completions_become_candidates_and_lower_is_better_is_negated() -> None:
    from transformers import AutoTokenizer

    tokenizer, scripted = AutoTokenizer.from_pretrained(POLICY), Scripted()
    question = prompt(Variant.COM, "fr", "en", [1, 2])
    texts = [completion(Variant.COM, "the bus", [3, 4]) + EOS, completion(Variant.COM, "the bus", [3, 4]), "the" + EOS]
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    columns = {"source_text": [SOURCE] * 3, "src_lang": ["fr"] * 3, "tgt_lang": ["en"] * 3}
    for metric, sign in (("bleu", 1), ("wer", -1)):
        reward = RoundTripReward(scripted, tokenizer, metric)  # type: ignore[arg-type]
        assert reward([question] * 3, ids, **columns, more=[1] * 3) == [sign * 0.07, 0.0, 0.0]
    assert scripted.asked[0] == Question("fr", "en", SOURCE, "the bus", [3, 4])
    assert scripted.asked[1:3] == [Question("fr", "en", SOURCE)] * 2, "one has no end, one has no units"


@pytest.mark.service
def test_grpo_learns_from_it(tmp_path: Path) -> None:
    import pyarrow.parquet as pq
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import GRPOConfig, GRPOTrainer

    tokenizer = AutoTokenizer.from_pretrained(POLICY)
    rows = pq.read_table(ROOT / "assets/station/paired.parquet").slice(0, 2).to_pylist()
    asked = [
        {
            "prompt": prompt(Variant.COM, row["src_lang"], row["tgt_lang"], row["src_units"]),
            "source_text": row["src_text"],
            "src_lang": row["src_lang"],
            "tgt_lang": row["tgt_lang"],
        }
        for row in rows
    ]
    rewards = RoundTripRewards(load(ROOT / "recipes/station.yaml"), POLICY, ("chrfpp",))
    config = GRPOConfig(
        output_dir=str(tmp_path),
        per_device_train_batch_size=4,
        num_generations=4,
        max_completion_length=160,
        max_steps=1,
        use_cpu=True,
        report_to="none",
        temperature=1.0,
    )
    trainer = GRPOTrainer(POLICY, RoundTripReward(rewards, tokenizer, "chrfpp"), config, Dataset.from_list(asked))
    trainer.train()
    [logged] = [line for line in trainer.state.log_history if "rewards/round_trip/mean" in line]
    assert 0.3 < logged["rewards/round_trip/mean"] <= 1.0, "a trained policy translates, and is understood"
