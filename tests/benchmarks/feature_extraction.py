"""What feature extraction costs: 25 epochs with and without cached features, and a step of fine-tuning.

Run it by itself, on a machine that does nothing else: `python tests/benchmarks/feature_extraction.py`. All arms see
the same pictures in the same batches, with the same optimiser, rates and number format; their order changes from
seed to seed.
"""

import time
from collections.abc import Callable

import pandas as pd
import torch
import torch.nn.functional as F

from course_utils import describe, evaluate, fit, load_model, load_task, paired_difference
from course_utils.data.splits import Task
from course_utils.device import pick_device
from course_utils.evidence.claims import mean_interval
from course_utils.models.backbones import Model
from course_utils.training.batches import batch_order, class_logits
from course_utils.training.loop import WEIGHT_DECAY, one_cycle
from course_utils.training.strategies import as_strategy, parameter_groups

SEEDS = range(5)
EPOCHS = {"frozen loop": 25, "cached": 25, "fine-tuning": 2}  # of fine-tuning only the time of a step is asked
PER_CLASS, BATCH = 20, 32
MOST = 0.1  # of the ordinary frozen loop's time, for as many epochs with cached features


def ordinary_loop(model: Model, task: Task, strategy: str, steps: int, seed: int) -> None:
    """Train as `fit` does, except that every step runs the whole backbone, frozen or not."""
    plan, device = as_strategy(strategy), pick_device()
    model.to(device)
    x, y = model.encode(task.train.x).to(device), torch.as_tensor(task.train.y).to(device)
    groups = parameter_groups(model, plan.setup, plan.lr, WEIGHT_DECAY)
    optimiser = torch.optim.AdamW(groups, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: one_cycle((step + 0.5) / steps))
    order = batch_order(len(y), BATCH, seed)
    model.train()
    for _ in range(steps):
        rows = next(order)[0].to(device)
        loss = F.cross_entropy(class_logits(model, model.prepare(x[rows])), y[rows])
        model.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        loss.item()  # waits for a GPU


def cached(model: Model, task: Task, strategy: str, steps: int, seed: int) -> None:
    """Train with `fit`, which runs frozen stages once."""
    fit(model, task, strategy, steps=steps, batch_size=BATCH, seed=seed, progress=False, augment=False)


ARMS: dict[str, tuple[Callable, str]] = {
    "frozen loop": (ordinary_loop, "feature_extraction"),
    "cached": (cached, "feature_extraction"),
    "fine-tuning": (ordinary_loop, "fine_tuning"),
}


def measure(arm: str, seed: int) -> dict:
    """One run: its seconds, on the clock and of the processor, those of a step, and the accuracy on the test split."""
    train, strategy = ARMS[arm]
    task = load_task("textures", per_class=PER_CLASS, seed=seed)
    model = load_model("photonet", num_classes=len(task.classes), seed=seed)
    steps = -(-EPOCHS[arm] * len(task.train) // BATCH)
    began, began_cpu = time.perf_counter(), time.process_time()
    train(model, task, strategy, steps, seed)
    seconds, processor = time.perf_counter() - began, time.process_time() - began_cpu
    accuracy = evaluate(model, task.test).accuracy
    return {
        "arm": arm, "seed": seed, "seconds": seconds, "a step": seconds / steps, "processor": processor,
        "processor, a step": processor / steps, "accuracy": accuracy,
    }  # fmt: skip


def ratio(table: pd.DataFrame, a: str, b: str, column: str) -> str:
    """a / b, paired by seed: the mean with its 95 % interval, and the smallest and largest."""
    wide = table.pivot(index="seed", columns="arm", values=column)
    ratios = wide[a] / wide[b]
    mean, low, high, n = mean_interval(ratios)
    return f"{mean:.3f} (95 % interval {low:.3f} to {high:.3f}; {n} seeds, {ratios.min():.3f} to {ratios.max():.3f})"


def main() -> None:
    """Measure all arms over all seeds, in turn, then say what follows."""
    print(describe())
    for arm in ARMS:  # what only the first run pays for: imports, memory, kernels
        train, strategy = ARMS[arm]
        task = load_task("textures", per_class=2)
        train(load_model("photonet", num_classes=len(task.classes)), task, strategy, 3, 0)
    names, rows = list(ARMS), []
    for seed in SEEDS:
        for arm in names[seed % 3 :] + names[: seed % 3]:
            rows.append(measure(arm, seed))
            line = "{arm:12} seed {seed}: {seconds:6.2f} s (processor {processor:.2f} s), accuracy {accuracy:.3f} after"
            print(line.format(**rows[-1]), EPOCHS[arm], "epochs", flush=True)
    report(pd.DataFrame(rows))


def report(table: pd.DataFrame) -> None:
    """Both ratios on the clock and, since other programs may disturb it, in time of the processor (not of a GPU)."""
    share = ratio(table, "cached", "frozen loop", "seconds")
    verdict = "within" if float(share.split()[0]) <= MOST else "above"
    print(f"\n25 epochs, cached / frozen loop: {share}; {verdict} {MOST}")
    print(f"    of the processor's time: {ratio(table, 'cached', 'frozen loop', 'processor')}")
    print(f"accuracy, cached - frozen loop: {paired_difference(table, 'cached', 'frozen loop', on='arm')}")
    print(f"a step, fine-tuning / frozen loop: {ratio(table, 'fine-tuning', 'frozen loop', 'a step')}")
    print(f"    of the processor's time: {ratio(table, 'fine-tuning', 'frozen loop', 'processor, a step')}")


if __name__ == "__main__":
    main()
