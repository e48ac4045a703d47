"""Every figure of the course on made-up numbers, small and always the same: what the tests compare with pictures."""

import numpy as np
import pandas as pd

from course_utils import plots
from course_utils.lessons.lesson00 import diagram
from course_utils.lessons.lesson00 import figures as figures00
from course_utils.lessons.lesson00.fewer import times_fewer
from course_utils.lessons.lesson01 import figures as figures01
from course_utils.lessons.lesson01.dissection import Field, Heat, Patch, Scene
from course_utils.lessons.lesson01.feature_visualization import Dream
from course_utils.lessons.lesson02 import figures as figures02

ARMS = {"feature_extraction": "transfer", "from_scratch": "from scratch"}


def runs():
    """Three arms at five sizes, ten seeds each, accuracy rising with the logarithm of the size."""
    draw = np.random.default_rng(0)
    gains = {"feature_extraction": 0.06, "from_scratch": 0.03, "fine_tuning": 0.06}
    return pd.DataFrame(
        {"strategy": name, "per_class": n, "seed": seed, "accuracy": 0.5 + gain * np.log2(n) + 0.01 * draw.normal()}
        for name, gain in gains.items()
        for n in (2, 5, 10, 20, 40)
        for seed in range(10)
    )  # fmt: skip


def controls():
    """Two controls at three sizes: their means lie between 0.52 and 0.58."""
    return pd.DataFrame(
        {"strategy": name, "per_class": n, "seed": seed, "accuracy": base + 0.02 * (n > 5) + 0.001 * seed}
        for name, base in (("untrained_frozen", 0.55), ("raw_pixels", 0.52))
        for n in (2, 10, 40)
        for seed in range(10)
    )


def history(rate, seeds=0):
    """A loss that falls and an accuracy that rises over 40 steps; with `seeds`, of that many runs."""
    step = np.arange(1, 41)
    tables = []
    for seed in range(max(1, seeds)):
        loss = (0.7 + 0.05 * seed) * np.exp(-rate * step) + 0.02
        tables.append(pd.DataFrame({"step": step, "loss": loss, "accuracy": 1 - loss / 2, "seed": seed}))
    return pd.concat(tables) if seeds else tables[0].drop(columns="seed")


def live(seeds=0):
    return {"from_scratch": history(0.02, seeds), "feature_extraction": history(0.08, seeds)}


def pictures(n, size=8):
    return np.random.default_rng(0).integers(0, 256, (n, 3, size, size), dtype=np.uint8)


def kernels():
    ramp = np.linspace(-1, 1, 7)
    smooth = [np.multiply.outer((1, k % 3 - 1, 1), np.add.outer(ramp, ramp * (-1) ** k)) for k in range(12)]
    return np.array(smooth), np.random.default_rng(0).normal(size=(12, 3, 7, 7))


def the_arrow(**more):
    fewer = times_fewer(runs(), "feature_extraction", "from_scratch")
    return figures00.accuracy_against_examples(runs(), ARMS, fewer, pictures(2), chance=0.5, **more)


def the_neighbours():
    rows = {
        "raw pixels": (pictures(3), ["ant", "bee", "bee"], 0.523),
        "features": (pictures(3), ["bee", "bee", "bee"], 0.698),
    }
    return figures02.neighbours(pictures(1)[0], "bee", rows, 0.5)


def the_predictions():
    sure = np.array([[0.9, 0.1], [0.35, 0.65], [0.2, 0.8]])
    return plots.predictions(pictures(3), np.array([0, 0, 1]), sure, ["ant", "bee"], columns=3)


def the_maps():
    return figures01.feature_maps(pictures(1)[0], np.random.default_rng(1).random((12, 4, 4)), "layer1", count=4)


def the_exciting_patches(many=3):
    """Two stages: a field that fits into a picture of 16 px, and one that does not."""
    scene = Scene("coins", 1.0, pictures(1, 16)[0])
    share = np.exp(-(np.hypot(*np.mgrid[-8:8, -8:8]) ** 2) / 10)
    rows = {"stem": (Field(7, 2), Heat(share, 8, 5)), "layer1": (Field(21, 4), Heat(share, 8, 9))}
    return figures01.exciting_patches(
        {stage: (field, heat, [Patch(1.0, scene, 7, 7, 7)] * many) for stage, (field, heat) in rows.items()}, 3
    )


def the_dreams():
    made = [Dream(pictures(3, 8), np.full(3, 0.5), np.full(3, last)) for last in (4.0, 1.0)]
    return figures01.dreams(*({"stem": dream, "layer4": dream} for dream in made))


def probed(stages=("stem", "layer1", "layer2")):
    """Three stages, two tasks, ten seeds; on the letters the middle stage is best, and the images apart know it."""
    rng = np.random.default_rng(3)
    best = {"photos": (0.5, 0.6, 0.8), "letters": (0.2, 0.9, 0.7)}
    return pd.DataFrame([
        {"task": task, "stage": stage, "per_class": n, "seed": seed, "accuracy": level - 0.3 / n + rng.normal(0, 0.02),
         "apart": level - 0.3 / n}
        for task, levels in best.items() for stage, level in zip(stages, levels, strict=True)
        for n in (2, 20) for seed in range(10)
    ])  # fmt: skip


def seen(sides=(8, 4, 2)):
    stages = ("stem", "layer1", "layer2")
    return {stage: np.arange(n * n).reshape(n, n) for stage, n in zip(stages, sides, strict=True)}


def the_panels():
    sides = {"stem": 16, "layer1": 16, "layer2": 8, "layer3": 4, "layer4": 2}
    return figures01.panels({stage: np.arange(n * n).reshape(n, n) for stage, n in sides.items()})


def the_stars():
    twin = probed().assign(accuracy=0.4)
    return figures01.best_stages(probed(), {"photos": "photographs", "letters": "letters"}, twin,
                             {"photos": seen(), "letters": seen()}, {"photos": 0.5, "letters": 0.1})


def the_borrowed():
    rng = np.random.default_rng(4)
    level = {"AnB": -0.03, "BnB": -0.01, "random": -0.06, "AnB+": 0.01, "BnB+": 0.0}
    rows = [{"condition": c, "depth": n, "seed": seed, "accuracy": 0.3 + slope * n + rng.normal(0, 0.004)}
            for c, slope in level.items() for n in (1, 2, 3) for seed in range(3)]
    return figures01.borrowed_stages(pd.DataFrame(rows), pd.Series([0.29, 0.3, 0.32]))


def the_similarities():
    """Two maps of three stages; likeness falls with the distance of the stages, by the second map below zero."""
    stages = ["stem", "layer1", "layer2"]
    apart = np.abs(np.subtract.outer(range(3), range(3)))
    tables = [pd.DataFrame(1 - slope * apart, stages, stages) for slope in (0.2, 0.502)]
    return figures01.similarity_maps({"One pair": tables[0].rename_axis(index="seed 0", columns="seed 1"),
                                  "Another": tables[1].rename_axis(index="before", columns="after")})


def by_task(table):
    """The same rows for two tasks, the second of them harder, without the largest size."""
    harder = table[table.per_class < 40].assign(task="letters", accuracy=table.accuracy - 0.3)
    return pd.concat([table.assign(task="photos"), harder])


def the_tasks():
    titles, chance = {"photos": "photographs", "letters": "letters"}, {"photos": 0.5, "letters": 0.1}
    return plots.accuracy_by_task(by_task(runs()), titles, ARMS, by_task(controls()), chance)


def the_differences():
    titles, sides = {"photos": "photographs", "letters": "letters"}, ("transfer better", "from scratch better")
    return plots.differences_by_task(by_task(runs()), "feature_extraction", "from_scratch", titles, sides, 60)


def the_chosen_epochs():
    """Two strategies, three numbers that choose, six seeds: the more choose, the less is gained and lost."""
    rng = np.random.default_rng(5)
    rows = [{"strategy": strategy, "seed": seed, "chosen_by": n, "reported_on": where, "last": 0.75,
             "accuracy": 0.75 + sign * 0.2 / np.sqrt(n) + rng.normal(0, 0.01)}
            for strategy in ("feature_extraction", "fine_tuning") for seed in range(6) for n in (10, 40, 120)
            for where, sign in (("the same photographs", 1), ("other photographs", -1))]  # fmt: skip
    return figures02.chosen_epochs(pd.DataFrame(rows))


def the_splits_and_folds():
    """Three stages, ten ways to cut fifty pictures into five folds."""
    rng = np.random.default_rng(6)
    levels = {"stem": 0.6, "layer1": 0.75, "layer2": 0.8}
    return figures02.splits_and_folds({stage: rng.binomial(10, p, (10, 5)) / 10 for stage, p in levels.items()}, levels)


def the_picture_maps():
    """Forty-two pictures of three classes on two maps; the classes lie apart on the first alone."""
    rng, y = np.random.default_rng(7), np.repeat([0, 1, 2], 14)
    places = rng.normal(size=(42, 2))
    apart = places + np.array([[0, 0], [9, 2], [3, 9]])[y]
    classes = ["brick", "cat", "rocket"]
    right = np.arange(42) % 2 == 1
    return figures02.picture_maps({"apart": apart, "mixed": places}, pictures(42, 16), y, right, classes)


def the_reliability():
    """One model that is calibrated and one that overstates; 600 outcomes."""
    rng = np.random.default_rng(7)
    likely = rng.beta(0.6, 1.8, 600)
    return figures02.reliability({"as it is": likely, "overstated": np.sqrt(likely)}, rng.random(600) < likely)


def the_leak():
    """Three pairs; bees in the source help with the clean bees a little, with the leaked ones a lot."""
    gain = {"no bee": (0.0, 0.0), "bee": (0.05, 0.2)}
    return figures02.leaked_and_clean(pd.DataFrame([
        {"seed": pair, "pretrained_with": source, "clean_bees": 0.6 + 0.03 * pair + clean,
         "leaked_bees": 0.65 - 0.02 * pair + leaked}
        for pair in range(3) for source, (clean, leaked) in gain.items()
    ]))  # fmt: skip


FIGURES = {
    "chosen_epochs": the_chosen_epochs,
    "splits_and_folds": the_splits_and_folds,
    "picture_maps": the_picture_maps,
    "reliability": the_reliability,
    "leaked_and_clean": the_leak,
    "accuracy_by_task": the_tasks,
    "differences_by_task": the_differences,
    "accuracy_against_examples": the_arrow,
    "accuracy_against_examples_controls": lambda: the_arrow(controls=controls()),
    "accuracies_at": lambda: figures00.accuracies_at(runs(), 10, ARMS | {"fine_tuning": "fine-tuning"}),
    "learning_curves": lambda: plots.learning_curves(live()),
    "learning_curves_seeds": lambda: plots.learning_curves(live(seeds=4), ["loss"]),
    "seeds_as_dots": lambda: figures00.seeds_as_dots(
        runs().query("per_class == 10"), "feature_extraction", "fine_tuning"
    ),
    "confusion_matrix": lambda: plots.confusion_matrix([[30, 5, 0], [12, 22, 1], [0, 0, 35]], ["ant", "bee", "moth"]),
    "picture_grid": lambda: plots.picture_grid(pictures(7), [f"picture {k}" for k in range(7)], columns=4),
    "predictions": the_predictions,
    "filters": lambda: figures01.filters(*kernels()),
    "feature_maps": the_maps,
    "best_stages": the_stars,
    "borrowed_stages": the_borrowed,
    "panels": the_panels,
    "exciting_patches": the_exciting_patches,
    "dreams": the_dreams,
    "neighbours": the_neighbours,
    "similarity_maps": the_similarities,
    "the_words": diagram.the_words,
}
