# %% [markdown]
# # 00 · Start here: how many photographs do you need? · 32 min
#
# People say: *"with transfer learning you need 10 to 100 times fewer labels."* Is it so, and what could it mean
# for your own pictures? In this lesson you see it measured, watch a race, and try a folder of yours.
#
# You need a little Python and PyTorch. No GPU, no internet. Run the cells from top to bottom.
#
# <details><summary>For teachers</summary>
#
# Route for a class: collect the votes by hand before the figure; let two pupils predict the race; read the interval
# together. In a hurry, skip "Kinds of transfer". The mistake to expect: taking one run for the truth ("mine got
# .75, so fine-tuning is better"). The twenty dots are there for it.
# </details>

# %%
from course_utils import (
    check, claim, describe, evaluate, extract, fit, load_model, load_results, load_task,
    paired_difference, plots, quiz, recall, spot_check, task_from_folder, widgets)

# %% [markdown]
# ## The words · 1 min
#
# A few words carry the whole course.
#
# - A **domain** is a kind of input: photographs of insects, say. A **task** is what we want to know about it: ant
#   or bee? What there is plenty of is the **source**, what we care about is the **target**; each has a domain and
#   a task.
# - The **backbone** turns a picture into numbers, its **features**. The **head** turns features into an answer.
# - **Transfer learning** trains a backbone on the source, then uses it for the target with a new head.

# %%
from course_utils.lessons import lesson00

lesson00.diagram.the_words()

# %% [markdown]
# The backbone travels, the head stays behind: the source's head names 199 things, none of which is an ant or a bee.
#
# <details><summary>The drawing in words</summary>
# Two rows, source above target. In each, a box for the domain points to a box for the backbone, which points to a
# box for the head and the question it answers. A thick arrow leads from the source's backbone down to the target's:
# its weights are kept. The target's head is marked as new.
# </details>
#
# ## The task · 1 min
#
# Our target is small: photographs of ants and of bees, shrunk to 48 pixels. We train on ten of each. The 153 test
# photographs are for measuring, and nothing is ever chosen by them.

# %%
task = load_task("ants_bees", per_class=10, seed=0, image_size=48, fallback="textures")
task

# %% [markdown]
# Our backbone is PhotoNet, a small network that comes with this course. It was trained on 99,000 photographs of
# 199 kinds of things. Bees were left out, and so was every picture whose thumbnail matches one of our tasks. Ants were
# never among them.
#
# ## Your prediction · 1 min
#
# Commit yourself before you go on. In a class, vote by hand.

# %%
quiz("00-fewer")

# %% [markdown]
# ## How many times fewer? · 7 min
#
# Both lines below have the same network, the same photographs and the same number of updates (training steps). **From
# scratch** starts with random weights. **Transfer** keeps the pretrained backbone as it is and trains only a new head. Each point is the
# mean of ten **seeds**: ten draws of the training photographs, of the starting weights and of the order. The learning
# rates of both were tuned on other draws, without the test photographs. The bars are **95 % intervals**: where the mean
# over many more seeds may well lie. More on them below.

# %%
runs = load_results("lesson00")
curves = runs[runs.steps == 100]
fewer = lesson00.times_fewer(curves, "feature_extraction", "from_scratch")
no_transfer = load_results("transfer").query(
    "task == 'ants_bees' and strategy in ['untrained_frozen', 'raw_pixels']")

# %% tags=["readme"]
labels = {"feature_extraction": "transfer", "from_scratch": "from scratch"}
ends = task.train.x[[1, 16]] if task.name == "ants_bees" else None
lesson00.figures.accuracy_against_examples(
    curves, labels, fewer, ends, chance=83 / 153, controls=no_transfer)

# %% [markdown]
# <details><summary>The figure in words</summary>
# Accuracy on the test photographs against photographs a class, from 2 to 120, on a logarithmic axis. The line for
# transfer rises from .61 to .81 and lies above the line for training from scratch throughout, which rises from .50 to
# .62 and hardly leaves a grey band between .50 and .63 labelled "no transfer". A horizontal arrow starts at the right
# end of the lower line, at 120 a class, and points left until it meets the line for transfer. Small piles of
# photographs stand at its two ends, a tall one and a low one.
# </details>

# %%
recall("00-fewer", "C" if fewer.examples < 10 else "B" if fewer.examples <= 40 else "A")

# %% [markdown]
# The grey band is what one gets without a learned backbone: a head on raw pixels, a head on frozen random weights, or
# always naming the larger class (83 of 153, so .54). Training from scratch hardly does better, and a head on random
# weights gets with 32 photographs where from scratch gets with 120. Against that head, transfer saves about 10 times
# and not 39. Always ask: compared with what?
#
# Every point above is a mean of ten seeds. Move the slider to see the ten.

# %%
sizes = sorted(curves.per_class.unique().tolist())
widgets.slider(lambda n: lesson00.figures.accuracies_at(curves, n, labels),
               sizes, "photographs a class", start=10)

# %% [markdown]
# <details><summary>The figure in words</summary>
# A dot a seed on a line of accuracies, a row for transfer and a row for training from scratch, each with its mean and
# interval. At ten photographs a class transfer lies around .68 and from scratch around .54, and some dots of the one
# lie among those of the other. With more photographs the rows move apart and the dots of transfer draw together.
# </details>
#
# Is the comparison fair? Perhaps random weights only need more time. So here is what we wrote down before the experiment
# ran, our **primary claim**: with ten photographs a class, transfer beats training from scratch with *four times* the
# updates. It is **paired by seed**: for each seed, one accuracy minus the other, on the same photographs.

# %%
longer = runs.query("per_class == 10 and not (strategy == 'from_scratch' and steps == 100)")
ahead = paired_difference(longer, "feature_extraction", "from_scratch")
claim("With ten photographs a class, transfer leads training from scratch "
      "with four times the updates by {effect}.", ahead)

# %% [markdown]
# The whole interval lies above zero: more time did not close the gap. It allows for other test photographs too. Stored
# numbers should be checked now and then, so one run is done again, here and now. Does nearly the same number come out?

# %%
spot_check("lesson00")

# %% [markdown]
# Back to the figure. Read the arrow from right to left: same accuracy, fewer photographs. Its length is the answer to
# "how many labels does transfer save?", for this source, this target, this network and this control. Its left end is
# read off between 2 and 5 photographs, where the bars are long: hence the wide interval.
#
# <details><summary>Which control is in the figure, and who chose it</summary>
# We trained from scratch twice, with 100 and with 400 updates. The figure shows 100, the better one at 120 photographs;
# we chose it after seeing both. Against 400 updates the factor lies beyond what we can measure (95 % interval 12 or
# more), so the choice makes transfer look less good, not better.
# </details>
#
# ## The race · 2 min
#
# Now live, with ten photographs a class and 100 updates for each of three ways to train:
#
# - **from scratch**: random weights, everything learns;
# - **feature extraction**: the pretrained backbone is frozen, only the head learns;
# - **fine-tuning**: the pretrained backbone learns too, more slowly than the head.

# %%
import pandas as pd

finish = {}
for strategy in ("from_scratch", "feature_extraction", "fine_tuning"):
    pretrained = strategy != "from_scratch"
    model = load_model("photonet", len(task.classes), pretrained=pretrained, seed=0)
    rate = lesson00.tuned_rate(strategy, steps=100)
    history = fit(model, task, strategy, lr=rate, steps=100, batch_size=16, augment=False)
    finish[strategy] = {"loss in training": history.table.loss[-10:].mean(),
                        "accuracy in the test": evaluate(model, task.test).accuracy}
pd.DataFrame(finish).T.round(2)

# %% [markdown]
# All three have learned their twenty photographs: the loss is low. What counts is the other column, photographs that
# they have never seen. A low training loss promises nothing. And this is one seed: it may lie far from the mean.
#
# ## How to read an interval · 2 min
#
# Who won, feature extraction or fine-tuning? Each dot below is one seed: both got the same twenty photographs, and the
# next dot has another twenty. Grey dots are ties; how high a dot stands means nothing.

# %%
race = load_results("lesson00_race")
lesson00.figures.seeds_as_dots(race, "feature_extraction", "fine_tuning")

# %% [markdown]
# <details><summary>The figure in words</summary>
# Twenty dots, one a seed, spread on both sides of a line at zero. Two dots at the far ends are marked: by one seed
# feature extraction wins, by the other fine-tuning. Below, the mean of all twenty with its 95 % interval.
# </details>
#
# With one seed you could "prove" either. The bar below the dots is the mean of all twenty with its **95 % interval**.
# Twenty other seeds would move the mean a little; the interval shows where the mean over endlessly many could lie. Made
# this way, about 95 of 100 intervals contain it. If it lies on one side of zero, we say who is better. If it includes
# zero, we do not know yet, and we say that. In this course no claim stands on one run.
#
# ## Exercise: reading an interval · easy · 8 min
#
# Each `differences` holds accuracies a − b, one number a seed. Write a function that answers `"a"`, `"b"` or
# `"not known"`: who is better, as far as the 95 % interval of the mean can tell? `mean_interval(differences)` has
# `.mean`, `.low` and `.high`. Run the cell as often as you like; a wrong answer gets a hint.

# %%
from course_utils.evidence import mean_interval

def who_is_better(differences):
    ...  # your code

check("00-interval", who_is_better)


# %% jupyter={"source_hidden": true} tags=["solution"]
# Solution
def who_is_better(differences):
    interval = mean_interval(differences)
    if interval.low > 0:
        return "a"
    if interval.high < 0:
        return "b"
    return "not known"

check("00-interval", who_is_better, solution=True)

# %% [markdown]
# ## Your folder · 5 min
#
# Put the path of a folder here, with a folder of pictures for each class (`photos/cat/…`, `photos/dog/…`), or leave
# it empty to go on with all ants and bees. Your pictures stay on this machine.

# %%
MY_FOLDER = ""  # for example "photos/"

# %%
if MY_FOLDER:
    mine = task_from_folder(MY_FOLDER)
else:
    mine = load_task("ants_bees", fallback="textures")
features = extract(load_model("photonet"), mine.train.x)
features.shape

# %% [markdown]
# Each picture is now 256 numbers, worked out once and kept on disk. A linear head on them trains in a moment, so we
# can afford **5-fold validation**: train on four fifths, predict the rest, five times in turn. Every picture gets a
# prediction from a head that has not seen it.

# %%
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

head = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
folds = StratifiedKFold(5, shuffle=True, random_state=0)
chances = cross_val_predict(head, features, mine.train.y, cv=folds, method="predict_proba")
right = int((chances.argmax(1) == mine.train.y).sum())
low, high = binomtest(right, len(mine.train)).proportion_ci(method="wilson")
print(f"{len(mine.train)} pictures. Of new ones of this kind, "
      f"expect {low:.2f} to {high:.2f} to be right.")

# %% [markdown]
# That range is for pictures taken like these. New cameras, places or seasons can do worse.
#
# Now the twelve pictures whose label the head believes least. Look for wrong labels, for two things in one picture, for
# a hint in the background.

# %%
own = chances[range(len(chances)), mine.train.y]
doubtful = own.argsort()[:12]
titles = [f"{mine.classes[mine.train.y[i]]}? {own[i]:.2f}" for i in doubtful]
plots.picture_grid(mine.train.x[doubtful], titles)

# %% [markdown]
# <details><summary>The pictures in words</summary>
# Twelve photographs, each with its label, a question mark and the chance that the head gives to that label, all
# close to zero. Among the ants and bees there are ants on flowers and bees on bare ground, close-ups, and pictures in
# which one hardly finds the insect.
# </details>
#
# ## Kinds of transfer · 1 min
#
# | kind | what is known | an example | lesson |
# |---|---|---|---|
# | **inductive** | labels for the target | ants and bees, from photographs of other things | 00 |
# | **transductive** | labels for the source alone; same task, other domain | day photographs to night | not yet |
# | **unsupervised** | no labels at all | group pictures by a borrowed backbone | not yet |
#
# ## Your machine · 1 min

# %%
print(describe())

# %% [markdown]
# That is enough: this lesson ran in about 20 seconds on two processor cores. A GPU is used when there is one.
#
# ## One question · 1 min

# %%
quiz("00-fair")

# %% [markdown]
# ## What to take away · 1 min
#
# 1. With a pretrained backbone, about 3 photographs of each class do what 120 do from scratch: 39 times fewer on this
#    test set, 10 or more by the 95 % interval.
# 2. One run proves nothing: among twenty seeds there were winners on both sides. Look for the interval.
# 3. For a folder of your own, features, a linear head and 5-fold validation say what to expect before you train
#    anything big.
#
# > *"10 to 100 times fewer labels"* · the "10" **holds** here: 39 times fewer (95 % interval: 10 or more). That it is
# > not more than 100 we cannot tell.
#
# **Where next.** The paper to read is [Kornblith, Shlens and Le 2019](https://arxiv.org/abs/1805.08974), "Do better
# ImageNet models transfer better?" The call to make in your own project is
# `torchvision.models.resnet18(weights="DEFAULT")`; here it is `load_model("resnet18", num_classes=2)`, which needs a
# network once. PhotoNet's own story, with what it must not be used for, is on
# [its card](../data/weights/README.md).
