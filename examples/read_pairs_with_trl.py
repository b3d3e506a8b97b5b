"""Read an exported set of pairs into TRL, and train one step of DPO with them if a policy is named.

roundtrip export --run runs/station --to exported --format trl
python examples/read_pairs_with_trl.py exported [POLICY]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from datasets import load_dataset


def main(folder: str, policy: str | None = None) -> None:
    """Print what the set holds; with a policy, print the loss of one step too."""
    rounds = sorted(Path(folder, "data").glob("round-*"))
    files = {split: [str(path) for path in Path(folder).rglob(f"{split}.jsonl")] for split in ("train", "test")}
    pairs = load_dataset("json", data_files={split: paths for split, paths in files.items() if paths})
    print(f"rounds: {len(rounds)}; " + ", ".join(f"{len(rows)} {split} pairs" for split, rows in pairs.items()))
    print(f"columns for DPOTrainer: {', '.join(pairs['train'].column_names)}")
    if policy is not None:
        from trl import DPOConfig, DPOTrainer

        with tempfile.TemporaryDirectory() as scratch:
            settings = DPOConfig(scratch, max_steps=1, per_device_train_batch_size=2, report_to="none", use_cpu=True)
            trainer = DPOTrainer(policy, args=settings, train_dataset=pairs["train"])
            print(f"loss of one step: {trainer.train().training_loss:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
