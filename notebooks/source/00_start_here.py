# %% [markdown]
# # 00 · Start here: how many photographs do you need? · 33 min
#
# A network that has seen a million photographs knows a lot about pictures. Can your small collection profit from it?
# People say: *"with transfer learning you need 10 to 100 times fewer labels"*, a **label** being the right answer to a
# picture. Here you try it, then see it measured.
#
# After this lesson you can
#
# - let a pretrained network name photographs, and teach it a new question in seconds;
# - say what "so many times fewer photographs" means, and compared with what;
# - read an interval, and tell when nobody knows yet.
#
# You need a little Python and PyTorch, no GPU and no internet.
#
# <details><summary>For teachers</summary>
#
# Route for a class of 90 minutes: let everyone name a photograph of their own; collect the votes by hand before the
# arrow; let two pupils bet on the race. In a hurry, skip "Your own pictures". The mistake to expect: taking one
# run for the truth ("mine won, so fine-tuning is better"). The twenty dots are there for it.
# </details>

# %%
from course_utils import (
    check, claim, describe, evaluate, extract, fit, load_model, load_results, load_task,
    paired_difference, plots, quiz, recall, spot_check, task_from_folder, widgets)

# %%
from course_utils.lessons import lesson00

PHOTO = ""  # the path of a photograph of yours, for example "holiday/dog.jpg"
TASK = "ants_bees"  # or the path of a folder, as "pets/", with pets/cat/… and pets/dog/…

# %% [markdown]
# ## A photograph gets a name · 2 min
#
# EfficientNet-Lite0 is a small network for phones. It was trained on ImageNet, more than a million photographs of a
# thousand kinds of things. Choose the coffee, then a cat, then the tissue, and see what it says.

# %%
lite = load_model("efficientnet_lite0", image_size=224)
photos = lesson00.photographs(PHOTO)
widgets.choice(lambda name: lesson00.figures.named(lite, photos[name]), list(photos),
               "photograph")


# %% [markdown]
# <details><summary>The figure in words</summary>
# On the left a photograph, on the right three bars: the names that the network finds likeliest, and how sure it is of
# each. It is very sure of the cup of coffee, torn between three kinds of cat, and finds a coral in a picture of
# human tissue.
# </details>
#
# It knows coffee. Of human tissue under a microscope it knows nothing, so it says *brain coral*: a name from its own
# list that looks alike. It can only answer the question that it was trained on. Let us change the question, gently: to ants or
# bees, which are on its list too.
#
# ## A new question in seconds · 4 min
#
# Here are ten photographs of ants and ten of bees. The network turns each into 1,280 numbers. On these we train a new
# last layer, and ask it about photographs that this layer has never seen.

# %%
def pictures(size):
    """Ten pictures of each class to learn from, and others to be asked about."""
    if TASK == "ants_bees":
        return load_task(TASK, per_class=10, seed=0, image_size=size, fallback="textures")
    return task_from_folder(TASK, per_class=10, seed=0, image_size=size)


# %%
from course_utils.features import probe

task = pictures(128)
phone = load_model("efficientnet_lite0", image_size=128)
head = probe(extract(phone, task.train.x), task.train.y)
some = slice(0, None, max(1, len(task.test) // 12))
asked = head.predict_proba(extract(phone, task.test.x))
shown, labels = task.test.x[some], task.test.y[some]
plots.predictions(shown[:12], labels[:12], asked[some][:12], task.classes)

# %% [markdown]
# <details><summary>The pictures in words</summary>
# Twelve photographs that the new layer was not trained on, six of ants and six of bees. Over each stands the answer
# with a tick or a cross, and how sure the new layer is. Most have a tick.
# </details>
#
# That is **transfer learning**: what was learned on one task is used for another. Its words:
#
# - What there is plenty of is the **source**; what you care about is the **target**.
# - The **backbone** turns a picture into numbers, its **features**. The **head** turns features into an answer. The
#   backbone travels, the head is new.
#
# ## Your prediction · 1 min
#
# From now on we use a network of our own, **PhotoNet**. It is small, and we know every picture that it was trained on:
# 99,000 photographs of 199 kinds of things, neither ants nor bees, none of our test pictures.

# %%
quiz("00-fewer")

# %% [markdown]
# ## How many times fewer? · 8 min
#
# Each point below is the mean of ten **seeds**: ten draws of the training photographs, of the first weights and of
# the order. The bars are **95 % intervals**: where the mean may well lie for other seeds and other photographs. There are
# two controls without transfer.
# **From scratch** is the same network with random weights, trained four times as long. **Untrained, frozen** is a new
# head on random weights that never change.

# %%
runs = load_results("lesson00").query("not (strategy == 'from_scratch' and steps == 100)")
fewer = {control: lesson00.times_fewer(runs, "feature_extraction", control)
         for control in ("from_scratch", "untrained_frozen")}
for control, found in fewer.items():
    print(f"{control:16} {found}")

# %% tags=["readme"]
labels = {"feature_extraction": "transfer", "from_scratch": "from scratch",
          "untrained_frozen": "untrained, frozen"}
ends = task.train.x[[1, 16]] if task.name == "ants_bees" else None
lesson00.figures.accuracy_against_examples(
    runs, labels, fewer["from_scratch"], ends, chance=83 / 153)

# %% [markdown]
# <details><summary>The figure in words</summary>
# Accuracy on the test photographs against photographs of each class, from 2 to 120, on a logarithmic axis. The line for
# transfer lies above both controls at every size. From the right end of the line for training from scratch a horizontal
# arrow points left until it meets the line for transfer. Small piles of photographs stand at its two ends, a tall one
# and a low one. A dotted line shows what always naming the larger class would give.
# </details>

# %%
few = fewer["from_scratch"].examples
recall("00-fewer", "C" if few <= 12 else "B" if few <= 40 else "A")

# %% [markdown]
# Read the arrow from right to left: what training from scratch does with 120 photographs of each, transfer does with a
# handful. The level is low, 63 %, where always naming the larger class gives 54 %. And "12 or more" has no end, since we
# tried nothing below two photographs, and two may already do.
#
# Before the experiment ran, we wrote one sentence down, our **primary claim**. It is tested **in pairs**: each seed
# trains both ways on the same photographs, and we subtract.

# %%
ten = paired_difference(runs.query("per_class == 10"), "feature_extraction", "from_scratch")
claim("With ten photographs per class, transfer leads training from scratch "
      "with four times the updates by {effect}.", ten)

# %% [markdown]
# The interval lies above zero, so the claim holds. Here
# one of its runs is done again:

# %%
spot_check("lesson00")

# %% [markdown]
# <details><summary>How this was measured</summary>
#
# Every way to train had twelve settings or more to choose from, tried on photographs of the training pool with other
# seeds; no test photograph chose anything. Transfer had 100 updates, from scratch 400. The test photographs are the
# 153 of the data set's own validation folder. At 80 and 120 of each, the seeds' training sets are nearly the same
# photographs: the claim at ten is firmer than the factor, which rests on the point at 120. One source, one network, one target:
# lesson 02 asks the question again for other tasks and for a second backbone.
# </details>
#
# ## The race · 3 min
#
# Now live: three ways to train PhotoNet on the same twenty photographs, only 100 updates each. **Feature extraction**
# freezes the backbone, and only the head learns. In **fine-tuning** the backbone learns too, more slowly than the
# head.

# %%
small = pictures(48)
stored = load_results("lesson00_race") if small.name == "ants_bees" else None
race = lesson00.figures.Race(small, stored)
for strategy in ("from_scratch", "feature_extraction", "fine_tuning"):
    pretrained = strategy != "from_scratch"
    model = load_model("photonet", len(small.classes), pretrained=pretrained, seed=0)
    fit(model, small, strategy, steps=100, batch_size=16, augment=False,
        progress=False, callbacks=[race.lane(strategy)])

# %% [markdown]
# <details><summary>The figure in words</summary>
# On the left three curves of accuracy on the test photographs while the networks train. The two with a pretrained
# backbone rise above the dotted line of the larger class at once, from scratch late. On the right twenty dots, one per
# race, for feature extraction minus fine-tuning: some on either side of zero, and below them the mean with an interval
# that includes zero.
# </details>
#
# Your race had a winner, but was it skill? On the right are twenty such races with other photographs and other first
# weights. Both ways have won some. The bar below shows their mean and its interval. If all of it is on one side of zero, we say who is better. If it includes zero, we do
# not know, and say so.
#
# ## Exercise: reading an interval · easy · 5 min
#
# Each `differences` holds accuracies a − b, one number per seed. Write a function that answers `"a"`, `"b"` or
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
# ## Why not 96 %? · 2 min
#
# You may have seen ants and bees in a famous tutorial, where transfer reaches 96 %. Here are the phone's network and
# PhotoNet on all of these photographs:

# %%
everything = load_task("ants_bees", image_size=128, fallback="textures")
head = probe(extract(phone, everything.train.x), everything.train.y, C=0.01)
ours = runs.query("strategy == 'feature_extraction' and per_class == 120").accuracy.mean()
theirs = head.score(extract(phone, everything.test.x), everything.test.y)
if everything.name == "ants_bees":
    print("the tutorial's ResNet-18: 96%")
    print(f"EfficientNet-Lite0: {theirs:.0%}    PhotoNet, at 48 pixels: {ours:.0%}")

# %% [markdown]
# The higher number is no better estimate of what transfer does. Ants and bees are two of ImageNet's thousand kinds,
# and these very photographs were probably among those that it was trained on: it has seen the exam. PhotoNet has not.
# How much of the gap this explains we cannot tell, for PhotoNet is also smaller and sees fewer pixels. For your own
# pictures take the stronger network, but measure on pictures that it cannot have seen.
#
# ## Your own pictures · 2 min
#
# How good will it be for the pictures of your `TASK`? **Five-fold validation** needs no test pictures: train on four
# fifths, predict the rest, five times in turn.

# %%
from scipy.stats import binomtest
from sklearn.model_selection import cross_val_score

mine = everything if TASK == "ants_bees" else task_from_folder(TASK, image_size=128)
features = extract(phone, mine.train.x)
head = probe(features, mine.train.y, C=0.01)
folds = cross_val_score(head, features, mine.train.y, cv=5)  # fits it anew, five times
right = round(folds.mean() * len(mine.train))
low, high = binomtest(right, len(mine.train)).proportion_ci(method="wilson")
print(f"{len(mine.train)} pictures. Of new ones of this kind, "
      f"expect {100 * low:.0f} to {100 * high:.0f} % to be right.")

# %% [markdown]
# That holds for pictures taken like these, and it flatters what the network has seen before, as ants and bees. New
# cameras, places or seasons can do worse.
#
# ## What should I do? · 1 min
#
# What we know so far, and the lesson that measured it.

# %%
lesson00.recipe_card()

# %% [markdown]
# <details><summary>Three kinds of transfer have names</summary>
#
# **Inductive**: you have labels for the target, as here. **Transductive**: labels for the source alone, the same
# question in a new domain. **Unsupervised**: no labels, you group by borrowed features.
# </details>
#
# ## One question · 1 min

# %%
quiz("00-fair")

# %% [markdown]
# ## What to take away · 1 min
#
# 1. A pretrained backbone and a new head learn a new question from a handful of pictures, on a laptop.
# 2. "So many times fewer" depends on what you compare with. Always ask for the control.
# 3. One run proves nothing: look for the interval, and say "not known" when it includes zero.
#
# **You have a few pictures of each class? Start with a frozen pretrained backbone and a new head, which takes
# seconds; then see whether fine-tuning beats it.**
#
# > *"10 to 100 times fewer labels"* · the "10" **holds** on PhotoNet for ants and bees: the 95 % interval begins at 12.
# > The upper end we cannot tell.
#
# **Where next.** Lesson [01](01_layer_hierarchies.ipynb) opens the backbone. The paper to read is
# [Kornblith, Shlens and Le 2019](https://arxiv.org/abs/1805.08974), "Do better ImageNet models transfer better?" The
# call in your own project is `torchvision.models.resnet18(weights="DEFAULT")`; here it is
# `load_model("resnet18", num_classes=2)`, which needs the internet once.
