"""The loop of supervised training: its steps, its curve, and its checkpoints."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from factory.recipe.training import InterleaveConfig, SftConfig, SpanConfig
from trainers.errors import TrainingError
from trainers.job import LocalJob
from trainers.sft_loop import SftLoop

QUICK = SftConfig(epochs=1, tokens=512, save_every=5, log_every=5, compile=False, lr=5e-3, precision="fp32")


@pytest.fixture
def job(tiny: Path, sequences: Path, tmp_path: Path) -> LocalJob[SftConfig]:
    inputs = {"data": sequences, "start": tiny, "dev": sequences}
    (tmp_path / "work").mkdir()
    return LocalJob(QUICK, 0, inputs, tmp_path / "policy", tmp_path / "work")


def test_the_learning_rate_rises_linearly_and_falls_as_a_cosine_to_2_percent(job: LocalJob[SftConfig]) -> None:
    loop = SftLoop(replace(job, config=replace(QUICK, epochs=20, warmup=0.1)))
    rates = []
    for step in range(loop.steps):
        loop.step = step
        rates.append(loop.rate())
    warmup = 0.1 * loop.steps
    expected = [
        min(1, (step + 1) / warmup) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / loop.steps)))
        for step in range(loop.steps)
    ]
    assert rates == pytest.approx(expected)
    loop.step = loop.steps
    assert loop.rate() == pytest.approx(0.02)


def test_a_step_uses_the_learning_rate_of_its_number(job: LocalJob[SftConfig]) -> None:
    loop = SftLoop(replace(job, config=replace(QUICK, warmup=0.5)))
    rate = loop.rate()
    [loss] = loop.learn([loop.data.batch([0])])
    assert loop.optimizer.param_groups[0]["lr"] == pytest.approx(QUICK.lr * rate)
    assert loop.step == 1
    assert (job.work / "pulse").read_text().startswith(f"step 1 of {loop.steps:,}, loss {loss:.3f}, ")


def test_the_gradient_of_a_step_is_the_mean_over_its_batches(job: LocalJob[SftConfig]) -> None:
    """Two batches of the same sequences in one step learn what one batch of them learns."""
    once, twice = SftLoop(job), SftLoop(replace(job, config=replace(QUICK, batches=2)))
    batch = once.data.batch([0, 1])
    other = once.data.batch([0, 1])
    [loss] = once.learn([batch])
    assert twice.learn([batch, other]) == pytest.approx([loss, loss])
    for one, two in zip(once.model.parameters(), twice.model.parameters()):
        torch.testing.assert_close(one.grad, two.grad)
        assert one.grad is not None and float(one.grad.norm()) <= 1.0


@pytest.mark.parametrize("limit", [float("inf"), 0.5])
def test_the_gradient_is_that_of_the_mean_loss_clipped_to_its_limit(
    job: LocalJob[SftConfig], monkeypatch: pytest.MonkeyPatch, limit: float
) -> None:
    monkeypatch.setattr("trainers.loop.MAX_GRADIENT", limit)
    loop = SftLoop(replace(job, config=replace(QUICK, batches=2)))
    batches = [loop.data.batch([0]), loop.data.batch([1, 2, 3])]
    means = []
    for batch in batches:
        total, count = loop.network(*batch)
        means.append(total / count)
    weights = list(loop.model.parameters())
    expected = torch.autograd.grad((means[0] + means[1]) / 2, weights)
    norm = torch.stack([gradient.norm() for gradient in expected]).norm()
    assert norm > 0.5
    loop.learn(batches)
    for weight, gradient in zip(weights, expected):
        torch.testing.assert_close(weight.grad, gradient * min(1.0, limit / float(norm)), rtol=1e-3, atol=1e-5)


def test_a_loss_is_in_nats_per_token(job: LocalJob[SftConfig]) -> None:
    loop = SftLoop(job)
    batch = loop.data.batch([3])
    total, count = loop.network(*batch)
    assert loop.learn([batch]) == pytest.approx([float(total.detach()) / count])
    [held_out] = [SftLoop(job).dev_loss()]
    assert held_out == pytest.approx(math.log(130), abs=1.0)  # about the logarithm of the vocabulary before training


def test_the_held_out_loss_is_that_of_all_tokens(job: LocalJob[SftConfig]) -> None:
    loop = SftLoop(job)
    assert loop.dev is not None
    with torch.no_grad():
        sums = [loop.network(*loop.dev.batch([index])) for index in range(120)]
    expected = sum(float(loss) for loss, _ in sums) / sum(count for _, count in sums)
    assert loop.dev_loss() == pytest.approx(expected, abs=1e-3)
    assert SftLoop(replace(job, inputs={name: job.inputs[name] for name in ("data", "start")})).dev_loss() is None


def test_the_curve_has_a_line_at_every_checkpoint_and_every_log_step(job: LocalJob[SftConfig]) -> None:
    loop = SftLoop(replace(job, config=replace(QUICK, save_every=4, log_every=3)))
    last = loop.run()
    assert loop.steps > 8
    steps = [step for step in range(1, loop.steps + 1) if step % 4 == 0 or step % 3 == 0 or step == loop.steps]
    assert [line["step"] for line in loop.curve] == steps
    assert [line["step"] for line in loop.curve if "dev_loss" in line] == [
        step for step in steps if step % 4 == 0 or step == loop.steps
    ]
    assert last == loop.curve[-1] and last["of"] == loop.steps and last["tokens_per_s"] > 0
    assert loop.curve[-1]["loss"] < loop.curve[0]["loss"]


def test_a_finished_loop_resumes_at_its_end(job: LocalJob[SftConfig]) -> None:
    first = SftLoop(job)
    first.run()
    second = SftLoop(job)
    assert second.run() == first.curve[-1]
    assert second.curve == first.curve and second.step == first.steps
    for one, two in zip(first.model.parameters(), second.model.parameters()):
        assert torch.equal(one, two)


def test_a_plan_has_the_batches_of_all_epochs(job: LocalJob[SftConfig]) -> None:
    loop = SftLoop(replace(job, seed=4, config=replace(QUICK, epochs=3, batches=2, weights={"asr": 0.5})))
    epochs = [loop.data.plan(512, 4, epoch, {"asr": 0.5}) for epoch in range(3)]
    assert loop.plan == [batch for epoch in epochs for batch in epoch]
    assert loop.steps == len(loop.plan) // 2


def test_a_longest_sequence_can_be_set(job: LocalJob[SftConfig]) -> None:
    assert SftLoop(job).data.too_long == 0
    loop = SftLoop(replace(job, config=replace(QUICK, max_length=40)))
    assert loop.data.too_long > 0 and loop.dev is not None and loop.dev.too_long == loop.data.too_long


def test_too_few_batches_for_a_step_are_an_error(job: LocalJob[SftConfig]) -> None:
    few = replace(QUICK, tokens=100_000, batches=2)
    sentence = (
        r"a step needs 2 batches \(sft.batches\), but all epochs together have 1 of 100000 tokens \(sft.tokens\): lower"
    )
    with pytest.raises(TrainingError, match=sentence):
        SftLoop(replace(job, config=few))
    assert SftLoop(replace(job, config=replace(few, batches=1))).steps == 1


def test_workers_need_a_batch_each_and_shares_of_equal_size(
    job: LocalJob[SftConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainers.sft_loop.world_size", lambda: 3)
    with pytest.raises(TrainingError, match=r"sft.batches is 2, but each of the 3 workers .* needs one: raise"):
        SftLoop(replace(job, config=replace(QUICK, batches=2)))
    with pytest.raises(TrainingError, match=r"sft.sharded .* got 4 and 3"):
        SftLoop(replace(job, config=replace(QUICK, batches=4, sharded=True)))
    assert SftLoop(replace(job, config=replace(QUICK, batches=4))).batches_per_step == 4
    assert SftLoop(replace(job, config=replace(QUICK, batches=3, sharded=True))).batches_per_step == 3
    assert SftLoop(job).batches_per_step == 3


SPOKEN = replace(QUICK, epochs=3, interleave=InterleaveConfig(start=0.8, step=0.4, every=4, span=SpanConfig(1.5)))


@pytest.fixture
def spoken_job(job: LocalJob[SftConfig], spoken: Path) -> LocalJob[SftConfig]:
    return replace(job, config=SPOKEN, inputs=job.inputs | {"data": spoken, "dev": spoken})


def test_the_steps_of_an_interleaved_training_have_their_share_of_text(spoken_job: LocalJob[SftConfig]) -> None:
    loop = SftLoop(replace(spoken_job, config=replace(SPOKEN, log_every=1)))
    loop.run()
    assert loop.steps > 12
    for line in loop.curve:
        share = (0.8, 0.4, 0.0)[min(2, (line["step"] - 1) // 4)]
        assert abs(line["text_share"] - share) < 0.1 and line["words"] > 0
    assert sum(line["words"] for line in loop.curve) == 3 * sum(
        len(words.texts)
        for one in loop.data.sequences
        for words in (one.prompt_words, one.completion_words)
        if words is not None
    )
    assert loop.dev is not None and loop.dev.sequences[0].prompt_words is None, "held-out speech stays units"


def test_an_interleaved_training_is_planned_like_another(spoken_job: LocalJob[SftConfig]) -> None:
    """Its batches have the same sequences, and are not larger; with a share of 0 they are the same to the byte."""
    plain = SftLoop(replace(spoken_job, config=replace(SPOKEN, interleave=None)))
    some = SftLoop(spoken_job)
    none = SftLoop(replace(spoken_job, config=replace(SPOKEN, interleave=InterleaveConfig(start=0.0))))
    assert plain.plan == some.plan == none.plan
    assert some.epochs == [epoch for epoch in range(3) for _ in some.data.plan(512, 0, epoch)]
    for step in range(plain.steps):
        plain.step = some.step = none.step = step
        [expected], [shorter], [same] = plain.next_batches(), some.next_batches(), none.next_batches()
        assert torch.equal(same.ids, expected.ids) and torch.equal(same.labels, expected.labels)
        assert shorter.ids.numel() <= expected.ids.numel()


def test_text_is_drawn_anew_in_each_epoch(spoken_job: LocalJob[SftConfig]) -> None:
    settings = replace(SPOKEN, epochs=2, tokens=10**6, unit_noise=0.0, interleave=InterleaveConfig(start=0.5, step=0.0))
    loop = SftLoop(replace(spoken_job, config=settings))
    batches = []
    for loop.step in range(2):
        [batch] = loop.next_batches()
        batches.append(sorted(bytes(row[row != 0].numpy()) for row in batch.ids))
    assert loop.steps == 2 and batches[0] != batches[1]


@pytest.mark.slow
def test_compiled_and_bf16_trainings_have_nearly_the_same_loss(job: LocalJob[SftConfig]) -> None:
    def loss(config: SftConfig) -> float:
        (job.work / "checkpoint.pt").unlink(missing_ok=True)
        return SftLoop(replace(job, config=config)).run()["loss"]

    plain = loss(QUICK)
    assert loss(replace(QUICK, precision="bf16")) == pytest.approx(plain, rel=0.02)
    assert loss(replace(QUICK, precision="bf16", compile=True)) == pytest.approx(plain, rel=0.02)
