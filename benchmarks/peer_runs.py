"""What `benchmarks/peers.py` measures: the same work, done by Roundtrip and by others, each in a process of its own.

python benchmarks/peer_runs.py vllm 64
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

POLICY = ROOT / "assets/phrasebook/policy"
TOKENS, CANDIDATES, BATCH = 64, 2, 64


def make_rows(count: int) -> list[dict[str, Any]]:
    """Return `count` rows of UNITS with a target language from the held-out pairs, repeated if they are too few."""
    import pyarrow.parquet as pq

    pairs = pq.read_table(ROOT / "assets/phrasebook/dev.parquet").to_pylist()
    return [
        {
            "utt_id": f"u{index}",
            "lang": pair["src_lang"],
            "tgt_lang": pair["tgt_lang"],
            # the repeated ones differ in a unit, so that no prompt is there twice
            "units": [index // len(pairs), *pair["src_units"]],
            "status": "ok",
        }
        for index, pair in ((index, pairs[index % len(pairs)]) for index in range(count))
    ]


def make_prompts(rows: list[dict[str, Any]]) -> list[str]:
    """Return the prompt of each row."""
    from schemas.sequences import Variant, prompt

    return [prompt(Variant.COM, row["lang"], row["tgt_lang"], row["units"]) for row in rows]


def make_back_prompt(row: dict[str, Any], text: str) -> str:
    """Return the prompt of a back-translation: the units that the output of a candidate happens to hold."""
    from schemas.sequences import Variant, prompt

    units = [int(number) for number in re.findall(r"<\|u(\d+)\|>", text)]
    return prompt(Variant.COM, row["tgt_lang"], row["lang"], units or [0])


def run_vllm(count: int) -> None:
    """Generate with a bare engine."""
    from transformers import AutoTokenizer
    from vllm import SamplingParams, TokensPrompt

    from factory.models.engine import Engine

    engine = Engine(str(POLICY), _engine_config())
    tokenizer: Any = AutoTokenizer
    tokenizer = tokenizer.from_pretrained(POLICY)
    rows = make_rows(count)

    def generate(prompts: list[str], n: int) -> list[list[str]]:
        """Return n outputs of each prompt."""
        params = SamplingParams(n=n, temperature=1.0, max_tokens=TOKENS, ignore_eos=True, detokenize=False)
        ids = [TokensPrompt(prompt_token_ids=one) for one in engine.encode(prompts)]
        outputs = engine.llm.generate(ids, params, use_tqdm=False)
        return [[tokenizer.decode(list(one.token_ids)) for one in output.outputs] for output in outputs]

    texts = generate(make_prompts(rows), CANDIDATES)
    generate([make_back_prompt(row, text) for row, both in zip(rows, texts, strict=True) for text in both], 1)


def run_translator(count: int) -> None:
    """Translate with the actor in this process."""
    _translator()()(_table(count))


def run_ray_data(count: int) -> None:
    """Translate with the actor in a plan of Ray Data."""
    import ray.data

    from factory.passes.execute import map_actor
    from factory.recipe.resources import PoolConfig
    from factory.runtime.local_ray import start_ray

    start_ray()
    rows = ray.data.from_arrow(_table(count)).repartition(max(1, count // 128))
    done = map_actor(rows, _translator(), PoolConfig(batch_size=128)).materialize()
    assert done.count() == count


def run_ray_data_llm(count: int) -> None:
    """Generate with two processors of ray.data.llm."""
    import ray.data
    from ray.data.llm import build_processor, vLLMEngineProcessorConfig

    ray.init(num_cpus=8, log_to_driver=False)
    sampling = {"temperature": 1.0, "max_tokens": TOKENS, "ignore_eos": True, "skip_special_tokens": False}
    config = vLLMEngineProcessorConfig(
        model_source=str(POLICY),
        engine_kwargs={"dtype": "float32", "enforce_eager": True, "block_size": 32},
        batch_size=BATCH,
        concurrency=1,
        log_engine_metrics=False,
        chat_template_stage=False,
        placement_group_config={"bundles": [{"CPU": 1}]},
    )
    rows = make_rows(count)
    prompts = make_prompts(rows)
    there = build_processor(
        config,
        preprocess=lambda row: {**row, "sampling_params": sampling},
        postprocess=lambda row: {
            "index": row["index"],
            "prompt": make_back_prompt(rows[row["index"]], row["generated_text"]),
        },
    )
    back = build_processor(
        config,
        preprocess=lambda row: {**row, "sampling_params": sampling},
        postprocess=lambda row: {"index": row["index"], "text": row["generated_text"]},
    )
    items = [{"index": index, "prompt": text} for index, text in enumerate(prompts) for _ in range(CANDIDATES)]
    assert back(there(ray.data.from_items(items))).materialize().count() == count * CANDIDATES


def run_transformers(count: int) -> None:
    """Generate with transformers on static batches."""
    import torch
    import transformers

    torch.set_num_threads(1)
    library: Any = transformers
    tokenizer = library.AutoTokenizer.from_pretrained(POLICY, padding_side="left")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    model = library.AutoModelForCausalLM.from_pretrained(POLICY, dtype=torch.float32)
    rows = make_rows(count)

    def generate(prompts: list[str], n: int) -> list[str]:
        """Return the outputs of all prompts, n of each."""
        texts: list[str] = []
        for start in range(0, len(prompts), BATCH // n):
            inputs = tokenizer(
                prompts[start : start + BATCH // n], return_tensors="pt", padding=True, add_special_tokens=False
            )
            outputs = model.generate(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                do_sample=True,
                num_return_sequences=n,
                min_new_tokens=TOKENS,
                max_new_tokens=TOKENS,
                pad_token_id=tokenizer.pad_token_id,
            )
            texts += tokenizer.batch_decode(outputs[:, inputs["input_ids"].shape[1] :])
        return texts

    texts = generate(make_prompts(rows), CANDIDATES)
    generate([make_back_prompt(rows[index // CANDIDATES], text) for index, text in enumerate(texts)], 1)


def run_distilabel(count: int) -> None:
    """Generate with the vLLM class of distilabel, in batches."""
    import vllm
    from distilabel.models import vLLM  # type: ignore[import-not-found]

    usual, _ = vllm.SamplingParams, vllm.LLM  # everything of vLLM is imported before the class becomes a function
    vllm.SamplingParams = lambda logits_processors, **params: usual(**params)  # type: ignore[assignment,misc]
    llm = vLLM(
        model=str(POLICY),
        dtype="float32",
        disable_cuda_device_placement=True,
        extra_kwargs={"enforce_eager": True, "block_size": 32},
    )
    llm.load()
    rows = make_rows(count)

    def generate(prompts: list[str], n: int) -> list[str]:
        """Return the outputs of all prompts, n of each."""
        texts: list[str] = []
        for start in range(0, len(prompts), BATCH):
            outputs = llm.generate(
                inputs=prompts[start : start + BATCH],
                num_generations=n,
                temperature=1.0,
                max_new_tokens=TOKENS,
                skip_special_tokens=False,
                extra_sampling_params={"ignore_eos": True},
            )
            texts += [text for output in outputs for text in output["generations"]]
        return texts

    texts = generate(make_prompts(rows), CANDIDATES)
    generate([make_back_prompt(rows[index // CANDIDATES], text) for index, text in enumerate(texts)], 1)


PEERS = {
    "vllm": run_vllm,
    "translator": run_translator,
    "ray_data": run_ray_data,
    "ray_data_llm": run_ray_data_llm,
    "distilabel": run_distilabel,
    "transformers": run_transformers,
}


def _engine_config() -> Any:
    from factory.models.engine import EngineConfig

    return EngineConfig(dtype="float32", threads=1, kv_cache_gib=1, gpu_memory_utilization=0.3, max_model_len=None)


def _translator() -> Any:
    """Return the actor's class with its arguments; its outputs all have the same length."""
    from dataclasses import replace
    from functools import partial

    from benchmarks.produce_efficiency import EndlessTranslator
    from factory.passes.produce import build_job
    from factory.recipe.recipe import Recipe
    from schemas.sequences import Variant

    recipe = Recipe()
    config = replace(recipe.translator, n=CANDIDATES, max_tokens=TOKENS, top_p=1.0, back_translation_temperature=1.0)
    job = replace(build_job(recipe), variant=Variant.COM, back_variants=(Variant.COM,))
    return partial(EndlessTranslator, str(POLICY), config, job, _engine_config())


def _table(count: int) -> Any:
    import pyarrow as pa

    from schemas.datasets import UNITS

    return pa.Table.from_pylist(make_rows(count), schema=UNITS.append(pa.field("tgt_lang", pa.string())))


if __name__ == "__main__":
    PEERS[sys.argv[1]](int(sys.argv[2]))
