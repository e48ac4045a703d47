# %% [markdown]
# # 00 · Start here: how many photographs do you need? · 13 min
#
# People say: *"with transfer learning you need 10 to 100 times fewer labels."* Is it so, and what could it mean
# for your own pictures? In this lesson you see it measured, watch a race, and try a folder of yours.
#
# You need a little Python and PyTorch. No GPU, no network. Run the cells from top to bottom.
#
# <details><summary>For teachers</summary>
#
# Route for a class: collect the votes by hand before the figure; let two pupils predict the race; read the interval
# together. In a hurry, skip "Kinds of transfer". The mistake to expect: taking one run for the truth ("mine got
# .75, so fine-tuning is better"). The twenty dots are there for it.
# </details>

# %%
from course_utils import (describe, diagrams, evaluate, extract, fit,
                          load_model, load_results, load_task, plots)

# %% [markdown]
# ## The words · 1 min
#
# Six words carry the whole course.
#
# - A **domain** is a kind of input: photographs of insects, say. A **task** is what we want to know about it: ant
#   or bee? What there is plenty of is the **source**, what we care about is the **target**; each has a domain and
#   a task.
# - The **backbone** turns a picture into numbers, its **features**. The **head** turns features into an answer.
# - **Transfer learning** trains a backbone on the source, then uses it for the target with a new head.

# %%
diagrams.the_words()

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
# 199 kinds of things. Bees were left out, and so was every picture whose thumbnail matches one of our tasks.
#
# ## Your prediction · 1 min
#
# Trained from scratch on 120 photographs of each class, our network gets as far as it gets. **With how many of each is
# transfer as good?**
#
# - **A**: more than 40.
# - **B**: 10 to 40.
# - **C**: fewer than 10.
#
# Write your letter down before you go on. In a class, vote by hand.

# %%
my_prediction = ""  # "A", "B" or "C"

# %% [markdown]
# ## How many times fewer? · 2 min
#
# Both arms below have the same network, the same photographs and the same number of updates. **From scratch** starts
# with random weights. **Transfer** keeps the pretrained backbone as it is and trains only a new head. Each point is the
# mean of ten **seeds**: ten draws of the training photographs, of the starting weights and of the order. The learning
# rates of both were tuned on other draws, without the test photographs.

# %%
from course_utils.evidence import mean_interval, times_fewer

runs = load_results("lesson00")
curves = runs[(runs.steps == 100) & (runs.strategy != "fine_tuning") & (runs.seed < 10)]
fewer = times_fewer(curves, "feature_extraction", "from_scratch")

# %% tags=["readme"]
labels = {"feature_extraction": "transfer", "from_scratch": "from scratch"}
ends = task.train.x[[1, 16]] if task.name == "ants_bees" else None
plots.accuracy_against_examples(curves, labels, fewer, ends, chance=83 / 153)

# %% [markdown]
# <details><summary>The figure in words</summary>
# Accuracy on the test photographs against photographs a class, from 2 to 120, on a logarithmic axis. The line for
# transfer lies above the line for training from scratch throughout. A horizontal arrow starts at the right end of
# the lower line, at 120 a class, and points left until it meets the line for transfer. Small piles of photographs
# stand at its two ends, a tall one and a low one.
# </details>

# %%
print(f"On this test set, transfer from {fewer.examples:.0f} photographs a class is as good")
print(f"as training from scratch on {fewer.largest}: {fewer}.")
print(f"You said: {my_prediction or 'nothing yet'}.")

# %% [markdown]
# Is the race fair? Perhaps random weights only need more time. So here is the comparison that we wrote down before the
# experiment ran, our **primary claim**: at ten photographs a class, transfer against training from scratch with *four
# times* the updates.

# %%
ten = runs[(runs.per_class == 10) & (runs.seed < 10)]
wide = ten.pivot(index="seed", columns=["strategy", "steps"], values="accuracy")
gap = mean_interval(wide["feature_extraction", 100] - wide["from_scratch", 400])
print(f"transfer - from scratch with 4 x the updates: {gap.mean:+.2f}")
print(f"95 % interval {gap.low:+.2f} to {gap.high:+.2f}")

# %% [markdown]
# The interval lies above zero: the claim **holds**. Four times the updates did not close the gap.
#
# Which of the two from-scratch arms the figure should show was decided after seeing both. We show the stronger one at
# 120 photographs, the one with as many updates as transfer. Against the other, the factor comes out beyond what we
# can measure (95 % interval 17 or more), so the choice makes transfer look less good, not better.
#
# Back to the figure. Read the arrow from right to left: same accuracy, fewer photographs. Its length is the answer to
# "how many labels does transfer save?", for this source, this target and this network. It is not a constant of nature.
# Its left end is read off between 2 and 5 photographs, where the bars are long: hence the wide interval.
#
# ## The race · 1 min
#
# Now live, with ten photographs a class and 100 updates for each of three ways to train:
#
# - **from scratch**: random weights, everything learns;
# - **feature extraction**: the pretrained backbone is frozen, only the head learns;
# - **fine-tuning**: the pretrained backbone learns too, more slowly than the head.

# %%
from course_utils.studies import tuned_rate

live, scores = {}, {}
for strategy in ("from_scratch", "feature_extraction", "fine_tuning"):
    pretrained = strategy != "from_scratch"
    model = load_model("photonet", len(task.classes), pretrained=pretrained, seed=0)
    rate = tuned_rate(strategy, steps=100)
    history = fit(model, task, strategy, lr=rate, steps=100, batch_size=16, augment=False)
    live[strategy] = history.table
    scores[strategy] = evaluate(model, task.test)
scores

# %%
plots.race(live, runs[(runs.per_class == 10) & (runs.steps == 100)])

# %% [markdown]
# <details><summary>The figure in words</summary>
# Left: training loss over 100 updates, one line a strategy. All three fall. Right: accuracy on the test photographs,
# a dot for each of twenty seeds and their mean with its interval. From scratch lies clearly below the two ways of
# transfer, which overlap.
# </details>
#
# On the left, all three learn their twenty photographs. On the right stands what counts, photographs that they have
# never seen. A low training loss promises nothing.
#
# ## How to read an interval · 1 min
#
# Who won, feature extraction or fine-tuning? Each dot below is one seed: the same twenty photographs for both.

# %%
race = runs[(runs.per_class == 10) & (runs.steps == 100)]
plots.seeds_as_dots(race, "feature_extraction", "fine_tuning")

# %% [markdown]
# <details><summary>The figure in words</summary>
# Twenty dots, one a seed, spread on both sides of a line at zero. Two dots at the far ends are marked: by one seed
# feature extraction wins, by the other fine-tuning. Below, the mean of all twenty with its 95 % interval.
# </details>
#
# With one seed you could "prove" either. The bar below the dots is the mean of all twenty with its **95 % interval**:
# a range made by a rule that catches the true mean 95 times in 100. If it lies on one side of zero, we say so. If
# it includes zero, we do not know yet, and we say that. In this course no claim stands on one run.
#
# ## Your folder · 2 min
#
# Put the path of a folder here, with a folder of pictures for each class (`photos/cat/…`, `photos/dog/…`), or leave
# it empty to go on with all ants and bees. Your pictures stay on this machine.

# %%
MY_FOLDER = ""  # for example "photos/"

# %%
from course_utils import task_from_folder

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
print(f"{len(mine.train)} pictures. Of new ones of this kind, expect {low:.2f} to {high:.2f} to be right.")

# %% [markdown]
# That range is for pictures taken like these. New cameras, places or seasons can do worse.
#
# Now the twelve pictures that the head doubts most: those to whose own label it gives the smallest chance. Look for
# wrong labels, for two things in one picture, for a hint in the background.

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
# ## What to take away · 1 min
#
# 1. With a pretrained backbone, 3 photographs of each class did what 120 did from scratch: 39 times fewer on this test
#    set. The 95 % interval says 12 or more, so the true factor may well be smaller, or larger than we can measure.
# 2. One run proves nothing: among twenty seeds there were winners on both sides. Look for the interval.
# 3. For a folder of your own, features, a linear head and 5-fold validation say what to expect before you train
#    anything big.
#
# > *"10 to 100 times fewer labels"* · **holds** here: 39 times fewer (95 % interval: 12 or more)
#
# **Where next.** The paper to read is [Kornblith, Shlens and Le 2019](https://arxiv.org/abs/1805.08974), "Do better
# ImageNet models transfer better?": twelve data sets, sixteen networks. The call to make in your own project is
# `torchvision.models.resnet18(weights="DEFAULT")`; here it is `load_model("resnet18", num_classes=2)`, which needs a
# network once. PhotoNet's own story, with what it must not be used for, is on
# [its card](../data/weights/README.md).
