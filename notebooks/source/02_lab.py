# %% [markdown]
# # 02 · Feature extraction, the lab: a menu · 123 min
#
# What a recipe leaves open, after [the core](02_feature_extraction.ipynb): maps, choices, costs, leaks and mistakes.
# Each section stands on its own: run the next cell, then go where you like.
#
# <details><summary>For teachers</summary>
#
# For a class, "Costs" and "A real leak" make a good half hour; "Choosing the best epoch" is the one to remember. The
# homework at the end wants a week's notice and telephones. The mistake to expect: a number that was chosen on the test
# pictures, and is then quoted.
# </details>

# %%
from course_utils import (
    check, claim, describe, evaluate, extract, fit, load_model, load_results, load_task,
    paired_difference, plots, quiz, recall, spot_check, task_from_folder, widgets)

# %% [markdown]
# ## The map · 10 min
#
# A feature vector has 256 numbers, and nobody can see in 256 dimensions. So people flatten the vectors to two and look
# at the map. Such maps are pretty, and they are easy to believe too much.
#
# Our pictures are patches of 14 photographs, 15 from the left side of each and 15 from the right. Neither network has
# ever seen them. The untrained one gets its batch-norm statistics from one pass over the left patches.

# %%
import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors

task = load_task("textures", per_class=15)
pictures = np.concatenate([task.train.x, task.test.x[::4]])
y = np.concatenate([task.train.y, task.test.y[::4]])
right = np.arange(len(y)) >= len(task.train)  # from the right side of its photograph
features = {}
for name in ("pretrained", "untrained"):
    model = load_model("photonet", pretrained=name == "pretrained")
    # The left first, since an untrained network takes its statistics from these.
    left = extract(model, task.train.x)
    features[name] = np.concatenate([left, extract(model, task.test.x[::4])])


# %% [markdown]
# Before the picture, a number that needs no map. For each right patch we look up the five left patches whose 256
# features are nearest. How many of them come from the same photograph? By chance it would be 1 in 14, so .07.

# %%
def neighbours_alike(places):
    neighbours = NearestNeighbors(n_neighbors=5).fit(places[~right])
    near = neighbours.kneighbors(places[right], return_distance=False)
    return np.mean(y[~right][near] == y[right][:, None])

for name, found in features.items():
    print(f"{name}: {neighbours_alike(found):.2f} of the neighbours "
          "come from the same photograph")

# %% [markdown]
# Why not simply all neighbours? Two patches of one side may overlap, and then a network that compares pixels finds
# them too. Left and right share no pixel.
#
# Now two ways to flatten:
#
# - **PCA** turns the cloud of points so that it is as wide as possible, and drops the other 254 directions. What is
#   far apart on its map is far apart in the features; what is close on the map may be far apart in a dropped
#   direction.
# - **t-SNE** ([van der Maaten and Hinton 2008](https://www.jmlr.org/papers/v9/vandermaaten08a.html)) moves the points
#   about until each has the neighbours that it has in the features, as far as a flat map allows. How many neighbours
#   count is the **perplexity**, 30 unless you say otherwise. Everything further away hardly counts.

# %%
from course_utils.lessons import lesson02

maps = {}
for kind, flatten in (("PCA", PCA(n_components=2)),
                      ("t-SNE", TSNE(perplexity=30, random_state=0))):
    for name, found in features.items():
        maps[f"{kind}, {name}"] = flatten.fit_transform(found)

def draw(photograph):
    return lesson02.figures.picture_maps(maps, pictures, y, right, task.classes, photograph)

photographs = {"all 14": None} | {name: name for name in ("cat", "galaxies", "rocket")}
widgets.choice(draw, photographs, "show")

# %% [markdown]
# <details><summary>The figure in words</summary>
# Four maps of the same 420 patches, PCA above and t-SNE below, the pretrained network on the left and the untrained
# one on the right. Each patch is a grey dot; one of each photograph and side is shown as a picture, in a blue frame
# for the left side and a dashed red one for the right. By PCA most dots lie in one heap, from which few photographs
# stand apart. By t-SNE they lie in islands. With the pretrained network, brick and galaxies have an island each, grass
# and gravel are neighbours far from the rest, and the two frames of a photograph mostly lie side by side. With the
# untrained network, red lies by red, grey by grey and dark by dark. By PCA about .47 and .41 of the neighbours are
# alike, by t-SNE about .8 and .7.
# </details>
#
# Choose `cat` in the list: where do its two sides lie, and in which map? Any other name in `task.classes` can go into
# the cell above. The last digits of t-SNE differ from machine to machine: it magnifies the smallest rounding.
#
# Two things to read off:
#
# - **The network without training is not blind.** It sorts by colour and brightness, and .63 of its neighbours in the
#   features are alike. For these photographs that goes a long way. Training brings it to .75.
# - **A poor map does not mean poor features.** PCA shows two directions, and with them .47 where the 256 have .75.
#
# What does t-SNE *not* show? We change nothing but the perplexity. For each map we also ask whether it keeps the *far*
# distances: those between the middles of the 14 photographs, ranked, on the map and in the features. A rank
# correlation of 1 says that the order is the same.

# %%
import pandas as pd
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr

def between_middles(places):
    return pdist(np.stack([places[y == k].mean(axis=0) for k in range(len(task.classes))]))

trained = features["pretrained"]
views = {"PCA": maps["PCA, pretrained"], "perplexity 30": maps["t-SNE, pretrained"]}
for n in (5, 100):
    views[f"perplexity {n}"] = TSNE(perplexity=n, random_state=0).fit_transform(trained)
far = between_middles(trained)
pd.DataFrame({name: {"neighbours alike": neighbours_alike(places),
                     "order of far distances": spearmanr(between_middles(places), far)[0]}
              for name, places in views.items()}).round(2)

# %%
extremes = {name: views[name] for name in ("perplexity 5", "perplexity 100")}
lesson02.figures.picture_maps(extremes, pictures, y, right, task.classes)

# %% [markdown]
# <details><summary>The figure in words</summary>
# Two t-SNE maps of the pretrained network's features, perplexity 5 on the left and 100 on the right. On the left,
# small islands are spread evenly over the square, and some photographs have one island for each side. On the right,
# the two sides of a photograph lie closer together, and islands stand around a heap in the middle. The features are
# the same.
# </details>
#
# **A map may flatter.** At perplexity 5, .85 of the neighbours or more are alike, in the features .75: t-SNE has
# tidied up.
#
# **Distances between islands may or may not mean something.** The order of the far distances is mostly kept at 30 and
# 100, and half lost at 5. The map alone does not tell you which. The *size* of an island means nothing at all: t-SNE
# spreads what is crowded and pulls together what is sparse.
#
# Use a map to find a question, such as "why do these two lie together?", and answer it with a number. Much more on
# this in [Wattenberg et al. 2016](https://distill.pub/2016/misread-tsne/).

# %% [markdown]
# ## Which stage to take · 9 min
#
# The last stage is the habit. Lesson 01 showed that an earlier one may serve better. Suppose you have five pictures of
# each digit, 50 in all, and no others. Which stage do you take? The test split must not answer: it is for one
# measurement at the end. So the 50 have to.
#
# The simplest way is to keep some aside. We train a probe on 40 and score it on the other 10. The probe standardises
# the features, then fits a logistic regression, as `probe` in lesson 01 did.

# %%
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    RepeatedStratifiedKFold, StratifiedShuffleSplit, cross_val_score)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

task, model = load_task("digits", per_class=5), load_model("photonet")
features = extract(model, task.train.x, "all")  # computed once; all that follows is cheap
classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))

def scores(cut):
    return {stage: cross_val_score(classifier, found, task.train.y, cv=cut)
            for stage, found in features.items()}

# Ten are kept aside, drawn anew five times.
splits = StratifiedShuffleSplit(n_splits=5, test_size=10, random_state=0)
pd.DataFrame(scores(splits), index=[f"split {k}" for k in range(1, 6)])

# %% [markdown]
# Five splits of the same 50 pictures. Ten held-out pictures can only give tenths, and which stage comes out on top
# depends on which ten they are. Had you drawn one split, you would have believed it.
#
# **Cross-validation** holds out every picture once. Five **folds** of ten: each in turn is held out while the probe
# trains on the other 40, and the five accuracies are averaged. That costs five fits a stage instead of one. With
# cached features they take milliseconds.
#
# How much does it help? We cut the 50 pictures into five folds in 20 random ways. That gives 20 averages and, each
# fold taken alone, 100 single splits: the same fits, so both have the same mean and only the spread can differ.

# %%
from course_utils.lessons import lesson02

folds = RepeatedStratifiedKFold(n_splits=5, n_repeats=20, random_state=0)
# 20 ways to cut, with 5 folds each.
found = {stage: values.reshape(20, 5) for stage, values in scores(folds).items()}
held_back = extract(model, task.test.x, "all")
test = {}
for stage in found:
    classifier.fit(features[stage], task.train.y)
    test[stage] = classifier.score(held_back[stage], task.test.y)
lesson02.figures.splits_and_folds(found, test)

# %% [markdown]
# <details><summary>The figure in words</summary>
# Five stages from left to right, and for each three kinds of estimates of a probe's accuracy. Red squares, 100 single
# splits, reach from .7 to 1.0 for layer3 and from .4 to .9 or further for the first two stages. Blue dots, 20 averages
# of five folds, lie close together, for layer3 almost all at .94. A black line is the accuracy on the test split: .68,
# .66, .78, .86 and .83. Below, how often each stage is the best: by one split layer3 in about 70 % and layer2 in 20 %,
# by five folds layer3 always.
# </details>

# %%
spread = {stage: {"mean": values.mean(), "spread, one split": values.std(),
                  "spread, five folds": values.mean(1).std()}
          for stage, values in found.items()}
pd.DataFrame(spread).round(3)

# %% [markdown]
# Both have the same mean, so it stands only once. The spread falls to a third or less. Five independent splits would
# only bring it to 1/√5, which is .45. Folds do better because no picture is left out or counted twice: a digit that is
# hard to read is held out exactly once in each of the 20 ways.
#
# And the choice: one split takes layer2 one time in five and pays for it on the test split, .78 instead of .86. (In a
# tie we take the earlier stage.)
#
# But look again at layer3. All 20 blue dots agree on about .94, and the test split says .86. Small spread, wrong
# number. Folds take away the luck of the *split*. They cannot take away the luck of the *draw*: which 50 pictures you
# have. So we draw 50 others, five times:

# %%
rows = []
for seed in range(1, 6):
    task = load_task("digits", per_class=5, seed=seed)
    features = extract(model, task.train.x, "all")
    guess = {stage: values.mean() for stage, values in scores(5).items()}
    best = max(guess, key=guess.get)
    truth = classifier.fit(features[best], task.train.y).score(held_back[best], task.test.y)
    rows.append({"draw": seed, "chosen": best, "five folds say": guess[best],
                 "test split says": truth})
pd.DataFrame(rows).round(2)

# %% [markdown]
# Now the numbers move by several hundredths, and layer3 is not always chosen. No way of cutting 50 pictures repairs
# that; more pictures do. As a rule of thumb, an accuracy p from n pictures is uncertain by about √(p(1 − p) / n): for
# .86 and 50 pictures, .05.
#
# Take with you:
#
# - Choose by folds, not by one split, as long as a fit is cheap. With cached features it is.
# - Choose within the training pool. The test split is opened once, for the stage that was chosen.
# - The winner's own score is a little too good, because it won. The next section measures that for epochs.

# %% [markdown]
# ## Choosing the best epoch · 9 min
#
# Many training loops keep the weights of the best epoch: after each epoch they measure the accuracy on some
# photographs, and at the end they report the highest. PyTorch's own [tutorial on ants and
# bees](https://docs.pytorch.org/tutorials/beginner/transfer_learning_tutorial.html) does so, with 153 photographs that
# both choose and report.
#
# What is wrong with it? The accuracy goes up and down from epoch to epoch, partly by luck. The highest of 25 values is
# the one with the most luck. How much too good does it look?
#
# We trained 40 networks on ants and bees at 48 px: feature extraction and fine-tuning, 40 and 120 photographs a class,
# ten seeds each. We stored which of the 153 test photographs were right after each of 25 epochs. This is the only
# place where we choose something by test photographs, and we do it to see the damage.
#
# First one run by hand. One half of the photographs chooses the epoch. Then we report twice: on the half that chose,
# and on the other half, which is what new photographs are to you.

# %%
import numpy as np
from course_utils.lessons import lesson02

runs = load_results("optimism")
one = runs.query("strategy == 'fine_tuning' and per_class == 40 and seed == 0")
hits = lesson02.epoch_selection.hits(one)[0]  # 25 epochs x 153 photographs, right or wrong
order = np.random.default_rng(0).permutation(153)
half, others = order[:76], order[76:]
best = hits[:, half].mean(axis=1).argmax()
print(f"best epoch {best + 1}: {hits[best, half].mean():.3f} on the half that chose it, "
      f"{hits[best, others].mean():.3f} on the others; "
      f"last epoch, all: {hits[-1].mean():.3f}")

# %% [markdown]
# The wrong way round! One half of one run says little: the others just happen to be easier. `epoch_selection.reported` does
# the same with 400 random halves of each run. What we wrote down before the runs: fine-tuning on 40 photographs a
# class looks better on the half that chose than on the other. That it does is no surprise. The *size* is what we
# wanted to know.

# %%
halves = lesson02.epoch_selection.reported(runs, [76])
halves = halves.query("strategy == 'fine_tuning' and per_class == 40")
gap = paired_difference(
    halves, "the same photographs", "other photographs", on="reported_on")
claim("Fine-tuned on 40 photographs a class, the best of 25 epochs looks better by "
      "{effect} on the half of this test set that chose it than on the other half.", gap)

# %% [markdown]
# The interval is over ten seeds, with these 153 photographs. And with more or fewer photographs to choose by? A
# validation set of your own may well have 20.

# %%
few = runs.query("per_class == 40")
table = lesson02.epoch_selection.reported(few, [10, 20, 40, 76, 120])
lesson02.figures.chosen_epochs(table)

# %% [markdown]
# <details><summary>The figure in words</summary>
# Two panels, feature extraction and fine-tuning, with the number of photographs that choose the epoch from 10 to 120
# on a logarithmic axis. Upwards: how much better the best epoch is than the last. A red line, on the photographs that
# chose, falls from about .06 above the last epoch to .01 above it. A blue line, on the other photographs, rises from
# about .06 below to .01 below. The two lines come together like a wedge around the dashed line of the last epoch.
# </details>
#
# The red line is what such a loop reports, the blue line what you get. With 10 photographs, the choice looks .06
# better than the last epoch and is .06 worse. With 120, about .01 each way. Nowhere does the blue line lie above zero:
# in these runs, choosing an epoch bought nothing. Our rate falls to zero at the end, so the last epochs hardly differ,
# and there is no late disaster to avoid. With a constant rate there may be one.
#
# <details><summary>Why are the two lines so alike?</summary>
# They share 153 photographs: an epoch that looks better on one half than on all looks worse on the other half. At 76,
# the mean of both lines is close to zero: the epochs chosen are on the whole as good as the last. At 10 the other 143
# outweigh the ten, and there the chosen epochs really are worse: more than half of them are among the first five,
# where equals come first. The bars cover other seeds. What other test photographs would give is not in them.
# </details>
#
# ### Beside the tutorial
#
# The tutorial reports .94 for fine-tuning and .96 for feature extraction. What do we get on the same 153 photographs?

# %%
import pandas as pd

nearly_all = runs.query("per_class == 120")  # of about 122 of each class
curves = lesson02.epoch_selection.hits(nearly_all).mean(axis=2)  # accuracy, runs x epochs
both = nearly_all.assign(best=curves.max(axis=1), last=curves[:, -1])
ours = both.groupby("strategy")[["best", "last"]].mean()
as_it_comes = load_results("ants_bees_64").groupby("strategy")["accuracy"].mean()
pd.DataFrame({
    "tutorial, 224 px, best of 25 epochs": {"feature_extraction": 0.96,
                                            "fine_tuning": 0.94},
    "PhotoNet, 48 px, best of 25 epochs": ours["best"],
    "PhotoNet, 48 px, last epoch": ours["last"],
    "PhotoNet, 64 px, fit as it comes": as_it_comes.drop("from_scratch"),
}).T.round(3).astype(object).fillna("not run")

# %% [markdown]
# Ours are means of ten seeds, the tutorial's is one run each. Its .94 and .96 are three photographs apart, so nothing
# follows about which of its two ways is better. The last row is plain `fit` on all training photographs, with the rate
# that was chosen on other tasks; the rows above it have a rate tuned within these training photographs.
#
# From our last epoch to the tutorial's numbers it is about .15. Four things differ:
#
# - **Selection on the test data.** Best against last is about .01 to .02 here, a small part of .15.
# - **Resolution.** 224 pixels a side against 48: twenty times as many pixels to see an ant's waist by.
# - **Backbone.** ResNet-18 has ten times as many weights and learned from 1.2 million photographs of 1,000 kinds.
#   *Ant* and *bee* are two of them. PhotoNet learned from 99,000 of 199 kinds, and neither is among them.
# - **A leak.** The tutorial itself says that its data are a very small subset of ImageNet. So its backbone may have
#   learned from these very photographs, test photographs included, with their names. The next section measures what
#   that can do.
#
# How the other three share the rest we cannot say: that would need ResNet-18 trained without ants and bees. So .96 is
# not wrong. It answers another question than "how well does this work on classes and photographs that the backbone has
# never met?".

# %% [markdown]
# ## A real leak · 5 min
#
# A **leak**: a test picture was already there when the network was pretrained. Ours is real. Tiny-ImageNet has a
# class *bee* with 500 photographs, and 25 of the 83 bees we test on are among them, as thumbnails show (a correlation
# above .95; 30 of the 244 training photographs are too). That is why PhotoNet was trained without this class. Leaks
# like this happen easily: the tutorial that our ants and bees come from calls them a small part of ImageNet, and
# Tiny-ImageNet is another.
#
# How much would it have flattered us? Before you look: by how much does a network that has seen these 25 do better on
# them?
#
# The experiment has three pairs of networks, half as wide as PhotoNet, each trained for 8 passes over 50 classes. A
# pair shares 49 classes, the first weights and the settings. The 50th class is *bee* for the one and something else
# for the other. Then both are frozen, and a linear head learns ants and bees.
#
# There is a trap in it. A source with bees may help with *all* bees, because it knows the kind of thing. That is
# **domain overlap**, and it is allowed. The leak is only what the leaked bees gain beyond the 58 clean ones.

# %%
runs = load_results("leak")
groups = ["accuracy", "ants", "clean_bees", "leaked_bees"]
table = runs.pivot(index="seed", columns="pretrained_with", values=groups)
table.round(2).rename_axis(index="pair")

# %%
from course_utils.lessons import lesson02

lesson02.figures.leaked_and_clean(runs)

# %% [markdown]
# <details><summary>The figure in words</summary>
# The share of test bees that are right, clean bees on the left and leaked bees on the right, with three pairs of
# networks in each. A ring is the network without bees in its source, a dot the one with them. All points lie between
# .70 and .80. With bees in the source, clean bees go down by .04 and by .02 and up by .03; leaked bees stay in the
# first pair and go up by .03 and by .04 in the others.
# </details>
#
# What the six networks show:
#
# - In each pair the leaked bees gained more than the clean ones: by .04, .05 and .01. That is what a leak looks like.
# - It is small. One leaked bee of 25 is .04, so we are speaking of about one photograph. Over all 153 test
#   photographs it would be less than .01.
# - Knowing bees did not help with the clean bees: twice a little worse, once a little better.
#
# What they do not show: that leaks are harmless, or even that this one exists beyond chance. Three pairs that agree
# do so by luck one time in eight, so there is no interval here and no claim. And these networks saw each photograph
# eight times, cropped anew, under the name *bee*. A bigger network that trains longer can learn its pictures by
# heart, and where the test's own *labels* leak, as texts on the web do, much more is at stake.
#
# Larger studies found the same. The makers of CLIP searched 400 million pictures for those of 35 test sets, found
# some in most, and accuracy rose by .006 at most ([Radford et al. 2021](https://arxiv.org/abs/2103.00020), section
# 5). Be as careful as they were: look for copies *before* you test, leave them out where you can, and otherwise
# report leaked and clean separately. [The list](../data/weights/photonet_dropped.csv) says what we left out.

# %% [markdown]
# ## Costs · 8 min
#
# "Extracting features is about twice as fast as fine-tuning." Is it? A step of training runs the pictures forward,
# then the gradients backward through everything that may change. We count both, and we watch the clock.
#
# Four ways to train for the same epochs on the same pictures. In **fine-tuning**, all weights learn. In the next two,
# only the head does: once because the **optimiser** is told of nothing else, once because the backbone's **gradients
# are off**. The last is the same as the third, with **cached** features: the backbone runs once, before the loop.
#
# Commit yourself before you run it: how many times faster than fine-tuning is each of the other three?

# %%
from time import perf_counter

import pandas as pd
import torch

EPOCHS = 4
task = load_task("textures", per_class=10)
y = torch.as_tensor(task.train.y)


def train(model, learns, inputs, to_features):
    """Train what `learns`; `to_features` makes the features of a batch of `inputs`."""
    optimiser = torch.optim.AdamW(learns.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(y), generator=generator).split(28):
            logits = model.head(to_features(inputs[rows]))
            loss = torch.nn.functional.cross_entropy(logits, y[rows])
            model.zero_grad()
            loss.backward()
            optimiser.step()


# %% [markdown]
# A hook on the first stage counts the pictures that pass through the backbone. All four leave the batch-norm
# statistics alone (`eval()`).

# %%
def costs(way):
    model = load_model("photonet", num_classes=len(task.classes)).eval()
    pictures, passed = model.encode(task.train.x), []
    model.stages["stem"].register_forward_hook(
        lambda layer, inputs, output: passed.append(len(output)))
    if way in ("gradients off", "cached"):
        model.stages.requires_grad_(False)

    def to_features(batch):
        return model.pool(model.run(model.prepare(batch)))

    start = perf_counter()
    if way == "cached":
        with torch.no_grad():
            features = torch.cat([to_features(part) for part in pictures.split(70)])
        train(model, model.head, features, lambda batch: batch)
    else:
        train(model, model if way == "fine-tuning" else model.head, pictures, to_features)
    return {"passes": sum(passed) / len(y), "seconds": perf_counter() - start}

costs("cached")  # what only the first run pays for
ways = ("fine-tuning", "only the optimiser told", "gradients off", "cached")
table = pd.DataFrame({way: costs(way) for way in ways}).T
table["times faster"] = table.loc["fine-tuning", "seconds"] / table["seconds"]
table.round(2)

# %% [markdown]
# - **Only the optimiser told**: hardly faster than fine-tuning. All gradients are worked out, and nobody uses them. It
#   is also the version in which the backbone's gradients pile up, should you only zero the optimiser's.
# - **Gradients off**: about three times as fast. Forward costs one, backward about two, and the frozen loop drops the
#   two. Calling the backbone under `torch.no_grad()` does the same: nothing before the head asks for a gradient.
# - **Cached**: one pass however many epochs. With 4 epochs that is about a quarter of the frozen loop, and the next
#   epochs cost almost nothing.
#
# So where does "twice" come from? Perhaps from a detail of the best-known tutorial. It trains on 244 pictures and,
# after each epoch, validates on 153. Validation is forward only, in both arms. Count in forward passes of one picture:

# %%
fine_tuning, frozen_loop = 3 * 244 + 153, 244 + 153  # an epoch
print(f"fine-tuning / frozen loop: {fine_tuning / frozen_loop:.1f}")
print(f"the loop / cached, 25 epochs: {25 * frozen_loop / frozen_loop:.0f}, "
      "if the head cost nothing")

# %% [markdown]
# **Not here**, then: the loop as it is usually written is about three times as fast, and the way it should be written
# has no fixed factor at all. `fit(model, task, "feature_extraction")` caches for you. A benchmark beside the tests,
# `tests/benchmarks/feature_extraction.py`, times 25 epochs of both over five seeds: cached takes less than a tenth of
# the loop's time, and the accuracies are the same.
#
# What caching forbids is to change the pictures from epoch to epoch. A mirror image can be cached as a second picture;
# random crops cannot.

# %% [markdown]
# ## Costs: the exact answer or many steps? · 7 min
#
# With the features in memory, a linear head is logistic regression. scikit-learn solves it; our loop walks down to it
# by **gradient descent**. With a little L2 penalty the loss is convex: it has one lowest point. So both should end in
# the same place. When does gradient descent get there?
#
# We give it all pictures in each step and the safe rate, 1 / the steepest curvature. It runs once on the features as
# they are, once on **standardised** ones (mean 0, spread 1, from the training pictures).

# %%
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

task = load_task("textures", per_class=10)
model = load_model("photonet")
as_they_are = [extract(model, split.x).astype(np.float64)
               for split in (task.train, task.test)]
scaler = StandardScaler().fit(as_they_are[0])
features = {"as they are": as_they_are,
            "standardised": [scaler.transform(part) for part in as_they_are]}
y, n = torch.as_tensor(task.train.y), len(task.train)


def objective(head, x):
    """What scikit-learn minimises with C=1, for one picture.

    It is cross-entropy, and a penalty on the weights.
    """
    return F.cross_entropy(head(x), y) + head.weight.square().sum() / (2 * n)


def exact_loss(exact, train):
    head = torch.nn.Linear(*reversed(exact.coef_.shape), dtype=torch.double)
    head.weight.data = torch.as_tensor(exact.coef_)
    head.bias.data = torch.as_tensor(exact.intercept_)
    return objective(head, torch.as_tensor(train)).item()


# %%
def walk(train, test, exact):
    x, best = torch.as_tensor(train), exact_loss(exact, train)
    head = torch.nn.Linear(x.shape[1], len(task.classes), dtype=torch.double)
    torch.nn.init.zeros_(head.weight), torch.nn.init.zeros_(head.bias)
    curvature = (torch.linalg.matrix_norm(x, 2) ** 2 / n + 1) / 2 + 1 / n
    optimiser = torch.optim.SGD(head.parameters(), lr=1 / curvature.item())
    rows = {}
    for step in range(1, 1001):
        optimiser.zero_grad()
        loss = objective(head, x)
        loss.backward()
        optimiser.step()
        if step in (10, 100, 1000):
            guesses = head(torch.as_tensor(test)).argmax(1).numpy()
            rows[step] = {"loss / lowest": loss.item() / best,
                          "accuracy": (guesses == task.test.y).mean(),
                          "same answer": (guesses == exact.predict(test)).mean()}
    return pd.DataFrame(rows).T.rename_axis("steps")

results = {}
for kind, (train, test) in features.items():
    exact = LogisticRegression(C=1.0, max_iter=2000).fit(train, task.train.y)
    print(f"{kind}: exact in {exact.n_iter_[0]} iterations, "
          f"accuracy {exact.score(test, task.test.y):.3f}")
    results[kind] = walk(train, test, exact)
pd.concat(results, axis=1).round(3)

# %% [markdown]
# They do head for the same place: the loss sinks towards its lowest value, and nearly all test pictures get the same
# answer. But plain gradient descent takes its time. After 1,000 steps on features as they are, its loss still lies
# about a tenth above the lowest; the solver needs some dozens of iterations, because it learns the curvature on its
# way. Standardising brings descent much nearer: one rate then suits all features.
#
# Which is better? On the test pictures, neither: most of the accuracy is there long before the lowest loss is. For a
# linear head on cached features, take the solver. It has no rate and no number of epochs to get wrong. Take the loop
# when the features do not fit into memory, when pictures change each epoch, or when the backbone is to learn too.

# %% [markdown]
# ## Unbalanced: when one class is rare · 6 min
#
# In a factory nearly every surface is intact. `defects` is drawn after such a task: brick, gravel and grass, with
# twenty intact pictures for one crack, one pit and one scratch. Our question is the factory's: is there *any* defect?
#
# Two linear heads on the features of layer3. The second has `class_weight="balanced"`: each class counts as much in
# the loss as the other, however few its pictures. The stage and C had the lowest loss in cross-validation on the
# training pictures.

# %%
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

task = load_task("defects")
model = load_model("photonet")
train, test = (extract(model, split.x, "layer3") for split in (task.train, task.test))
intact = task.classes.index("intact")
y, y_test = task.train.y != intact, task.test.y != intact
heads, likely = {}, {}
answers = {"always intact": np.zeros(len(y_test), bool)}
for name, weight in (("as it is", None), ("classes weighted", "balanced")):
    classifier = LogisticRegression(C=0.1, class_weight=weight, max_iter=2000)
    heads[name] = make_pipeline(StandardScaler(), classifier).fit(train, y)
    likely[name] = heads[name].predict_proba(test)[:, 1]
    answers[name] = likely[name] > 0.5
pd.DataFrame({name: {"accuracy": (says == y_test).mean(),
                     "balanced accuracy": balanced_accuracy_score(y_test, says),
                     "defects found": says[y_test].mean()}
              for name, says in answers.items()}).T.round(2)

# %% [markdown]
# Whoever always says "intact" is right in 87 of 100 cases and finds nothing. **Balanced accuracy** is the mean over
# the classes of the share that is right, so saying always the same gives .50. By accuracy the weighted head is *worse*
# than knowing nothing; by balanced accuracy it is the best of the three. Neither number is the truth. Which one to
# look at depends on what a missed defect costs.
#
# The factory says: find 95 of 100 defects. That is a **recall** of .95. What remains is to ask for the **precision**:
# of the pictures that raise an alarm, what share has a defect? The 50 % rule does not give that recall, so we need
# another threshold. It is chosen on the training pictures, each scored by a head that did not see it.

# %%
from sklearn.model_selection import StratifiedKFold, cross_val_predict

folds = StratifiedKFold(5, shuffle=True, random_state=0)
for name, head in heads.items():
    unseen = cross_val_predict(head, train, y, cv=folds, method="predict_proba")[:, 1]
    threshold = np.quantile(unseen[y], 0.05)  # 95 % of the training defects lie above it
    alarms = likely[name] >= threshold
    print(f"{name}: threshold {threshold:.2f}, recall {alarms[y_test].mean():.2f}, "
          f"precision {y_test[alarms].mean():.2f}, "
          f"alarms for {alarms.mean():.0%} of the pictures")

# %% [markdown]
# The recall is as ordered, about .95. The price: an alarm for more than half of all pictures, and less than a quarter
# of the alarms is real. Tossing a coin has a precision of .13, so that is better, but far from good. The last few
# defects look like nothing to the network, and for their sake the threshold goes down to a few per cent.
#
# Weighting the classes does not help here. It moves the threshold from a few per cent to over ten, and leaves the
# order of the pictures nearly as it is. Precision at a recall knows only the order.
#
# If you have the real magnetic tiles, try `load_task("tiles")` and `classes.index("free")`. There the same recipe
# finds about .82 of the defects in place of .95. Several training pictures show one tile, and our folds tear them
# apart, so a tile helps to judge itself; the test tiles are new. Probably that is the reason: folds must be drawn as
# the test was.

# %% [markdown]
# ## Exercise: precision at a recall · medium · 20 min
#
# `scores` are N numbers, the higher the more likely; `labels` are N labels 0 or 1; `wanted` is the recall, the share
# of label 1 that must be found. A picture raises an alarm if its score is **at or above** the threshold. Take the
# **highest** threshold that finds a share of `wanted` or more. Return the precision there: the share of the alarms
# with label 1.
#
# With scores .9 .8 .7 .6, labels 1 0 1 0 and a wanted recall of 1, the threshold is .7 and the precision 2/3.

# %%
import numpy as np


def precision_at_recall(scores, labels, wanted):
    ...  # your code


check("02-recall", precision_at_recall)


# %% jupyter={"source_hidden": true} tags=["solution"]
# Solution
def precision_at_recall(scores, labels, wanted):
    order = np.argsort(-scores)
    found = np.cumsum(labels[order]) / labels.sum()
    threshold = scores[order][np.argmax(found >= wanted)]
    return labels[scores >= threshold].mean()


check("02-recall", precision_at_recall, solution=True)

# %% [markdown]
# ## Unbalanced: can the probabilities be believed? · 6 min
#
# A head that says "30 %" should be right about a defect in 30 of 100 such cases. Then it is **calibrated**. We sort
# the test pictures into 15 bins by what the head says, and look at how often there is a defect.

# %%
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from course_utils.lessons import lesson02

task = load_task("defects")
model = load_model("photonet")
train, test = (extract(model, split.x, "layer3") for split in (task.train, task.test))
y, y_test = task.train.y > 0, task.test.y > 0  # class 0 is "intact"
likely = {}
for name, weight in (("as it is", None), ("classes weighted", "balanced")):
    classifier = LogisticRegression(C=0.1, class_weight=weight, max_iter=2000)
    head = make_pipeline(StandardScaler(), classifier)
    likely[name] = head.fit(train, y).predict_proba(test)[:, 1]
lesson02.figures.reliability(likely, y_test)


# %% [markdown]
# <details><summary>The figure in words</summary>
# Two panels. Across: the stated probability of a defect, in 15 bins. Up: the share of pictures in the bin that has
# one, with a diagonal for perfect calibration and a grey bar for what chance allows; below, how many pictures a bin
# holds. Left, as it is: the dots waver around the diagonal, all but one or two within their bars, which are long where
# a bin has few pictures. Right, classes weighted: all dots lie far below the diagonal and outside their bars; where it
# says .5, about .15 to .2 have a defect.
# </details>
#
# The head as it is can be believed as far as these pictures can tell. The weighted one cannot: it was trained as if
# half of all surfaces had a defect, and says so. Weighting is a way to move the threshold, paid for with the
# probabilities. If you need those, leave the weights alone and move the threshold.
#
# In one number: the **expected calibration error** is the gap between said and seen, averaged over the pictures ([Guo
# et al. 2017](https://arxiv.org/abs/1706.04599)).

# %%
def calibration_error(stated, happened, bins=15):
    which = np.minimum((stated * bins).astype(int), bins - 1)
    gaps = np.bincount(which, happened - stated, bins)  # summed over the pictures of a bin
    return np.abs(gaps).sum() / len(stated)

pd.Series({name: calibration_error(p, y_test) for name, p in likely.items()}).round(3)

# %% [markdown]
# Is .03 little? Perfect would be 0, it seems. We make a perfect model: it states the same probabilities, and *reality*
# follows them, by drawing each outcome with exactly the stated chance. Then we measure its error, with as many
# pictures as here, and with fewer.

# %%
rng = np.random.default_rng(0)
floor = {}
for n in (len(y_test), 300, 100):
    errors = []
    for _ in range(300):
        stated = rng.choice(likely["as it is"], n)
        errors.append(calibration_error(stated, rng.random(n) < stated))
    floor[f"{n} pictures"] = {"mean": np.mean(errors), "2.5 %": np.quantile(errors, 0.025),
                              "97.5 %": np.quantile(errors, 0.975)}
pd.DataFrame(floor).T.round(3)

# %% [markdown]
# A perfect model has an error of more than .02 here, and of about .07 with 100 pictures. **The bias**: a gap counts
# whether it is up or down, so chance never cancels. The fewer pictures a bin has, the higher the floor. Never compare
# calibration errors from test sets of different size, and put the floor beside the number. `evaluate(...)` gives the
# same kind of error for the class that the model names, with the same bias.

# %% [markdown]
# ## A regression head: how far is a letter turned? · 5 min
#
# A head need not name classes. The letters of this course come with a turn between −15 and 15 degrees. Until now that
# was a nuisance, which a network had better ignore. Now it is what we ask for: **ridge regression** on frozen
# features, from which a number comes out.
#
# To tell letters apart, layer3 is the best stage (lesson 01). Which will it be for the turn?

# %%
import numpy as np
import pandas as pd
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from course_utils.lessons import lesson02

x, degrees, families = lesson02.rotated_letters.turned_letters("train", per_class=60)
# The test letters are in families of fonts that are not in the training pictures.
x_test, degrees_test, _ = lesson02.rotated_letters.turned_letters("test", per_class=40)
features = {"raw pixels": [part[:, 0].reshape(len(part), -1) for part in (x, x_test)]}
for name, pretrained in (("pretrained", True), ("untrained", False)):
    model = load_model("photonet", pretrained=pretrained)
    train, test = (extract(model, part, "all") for part in (x, x_test))
    features |= {f"{name} {stage}": (train[stage], test[stage]) for stage in train}

# %% [markdown]
# The stage is chosen on the training pictures alone, by cross-validation. The test has new families of fonts, so the
# folds keep the three families apart too: `GroupKFold` never has one on both sides. Errors are in degrees, the mean
# of |said − true|.

# %%
ridge = make_pipeline(StandardScaler(), Ridge())
search = GridSearchCV(ridge, {"ridge__alpha": [1, 10, 100, 1000]},
                      cv=GroupKFold(3), scoring="neg_mean_absolute_error")
rows = {}
for name, (train, test) in features.items():
    search.fit(train, degrees, groups=families)
    errors = np.abs(search.predict(test) - degrees_test)
    rows[name] = {"in the folds": -search.best_score_, "in new fonts": errors.mean()}
print(f"always saying the mean: {np.abs(degrees_test - degrees.mean()).mean():.1f} degrees")
print(f"best in the folds: {min(rows, key=lambda name: rows[name]['in the folds'])}")
pd.DataFrame(rows).T.round(1)

# %% [markdown]
# The folds choose an early stage, layer1, and the new fonts agree: the error falls from over 7 degrees to under 5. It
# sees small edges, and the mean over positions counts how many run which way. Later stages still know it, but less.
# Perhaps because a turn of some degrees changes little about what is in a photograph.
#
# So "the best stage" is half a question: best for what? The untrained network is at its best in the stem, where random
# filters do no worse than learned ones, and its later stages lose the turn. Raw pixels say next to nothing: a pixel
# that is dark in a turned H is light in a turned L.
#
# One draw of letters, one untrained network: points, and no claim. Errors have their reasons, too. A slanted italic is
# taken for turned, by a degree or so. And which letter is the hardest? The test has 40 of each, from A to Z. Guess,
# then group the errors.

# %% [markdown]
# ## For people who come from scikit-learn · 5 min
#
# To scikit-learn, a frozen backbone is a **transformer** that needs no fitting: pictures in, features out. Then all
# that you know works: pipelines, cross-validation, a grid over settings. Here the stage is one of the settings.

# %%
import time

from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

task = load_task("digits", per_class=20)
model = load_model("photonet")

def features(x, stage):
    return extract(model, x, stage)

classifier = Pipeline([
    ("backbone", FunctionTransformer(features, kw_args={"stage": "layer4"})),
    ("scale", StandardScaler()),
    ("head", LogisticRegression(max_iter=1000)),
])
# Pictures go in, not features.
cross_val_score(classifier, task.train.x, task.train.y, cv=5).round(2)

# %%
grid = GridSearchCV(classifier, {
    "backbone__kw_args": [{"stage": stage} for stage in ("layer2", "layer3", "layer4")],
    "head__C": [0.01, 0.1, 1.0],
}, cv=5)
grid.fit(task.train.x, task.train.y)
print(grid.best_params_)
print(f"in the folds {grid.best_score_:.3f}, "
      f"on the test digits {grid.score(task.test.x, task.test.y):.3f}")

# %% [markdown]
# Two things to know.
#
# - **What belongs inside the folds?** All that learns from the data. The scaler and the head do, so they stand in the
#   pipeline. A frozen, pretrained backbone learns nothing; you may extract once and cross-validate the rest. The
#   scores are the same (below). An *untrained* backbone takes its batch-norm statistics from the first pictures that
#   it gets: give it training pictures.
# - **How often does the backbone run?** By the book, for each fold and each setting again. `extract` keeps what it has
#   seen on disk, so here it does not. With a network of your own, use `Pipeline(..., memory="folder")`.

# %%
once = extract(model, task.train.x)
for name, inputs, steps in (("in the pipeline", task.train.x, classifier),
                            ("extracted once", once, classifier[1:])):
    start = time.perf_counter()
    scores = cross_val_score(steps, inputs, task.train.y, cv=5)
    print(f"{name}: {scores.mean():.3f} in {time.perf_counter() - start:.1f} s")

# %% [markdown]
# ## A bigger backbone · 6 min
#
# PhotoNet is small so that it fits into this course. The recipe is the same for the networks that others use:
# torchvision's ResNet-18, for example, trained on over a million photographs, ImageNet's. Its weights (45 MB) come
# from torchvision's own address, with a checksum. Without a network, this cell says so in a sentence, and we go on
# with what we have.

# %%
backbones = ["photonet"]
try:
    load_model("resnet18", num_classes=2)
    backbones.append("resnet18")
except Exception as error:
    print(str(error).splitlines()[0])

# %% [markdown]
# What it costs can be seen without its weights: random ones take as long. Each network gets pictures of the size that
# it was trained with.

# %%
import time

import numpy as np
import pandas as pd
import torch

rows = {}
for name, size in (("photonet", 64), ("resnet18", 224)):
    model = load_model(name, num_classes=2, pretrained=False).eval()
    batch = model.prepare(model.encode(np.zeros((8, 3, size, size), np.uint8)))
    with torch.no_grad():
        model(batch)  # what only the first pass pays for
        start = time.perf_counter()
        model(batch)
    weights = sum(p.numel() for p in model.parameters())
    rows[name] = {"million weights": weights / 1e6, "features": model.width, "pixels": size,
                  "ms a picture": (time.perf_counter() - start) / len(batch) * 1000}
pd.DataFrame(rows).T.round(1)

# %% [markdown]
# About nine times the weights, and far more time, most of it for the pixels: 224 x 224 are twelve times as many as 64
# x 64. And what does it bring? With a network, you see it here: ants and bees at full size, 30 of each to train, the
# same head on both.

# %%
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

if "resnet18" in backbones:
    for name, size in (("photonet", 64), ("resnet18", 224)):
        task = load_task("ants_bees", per_class=30, image_size=size, fallback="textures")
        model = load_model(name)
        head = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
        head.fit(extract(model, task.train.x), task.train.y)
        accuracy = head.score(extract(model, task.test.x[::2]), task.test.y[::2])
        print(f"{name}: {accuracy:.2f} on every second test picture")
else:
    print("ResNet-18 is not here, so there is nothing to compare: "
          "the other sections need PhotoNet alone.")

# %% [markdown]
# One set of training pictures and some 77 to test: points, and no claim. Mind what you compare, too. The two differ in
# size, in resolution *and* in what they were trained on; ImageNet has classes for ants and bees, and its pictures may
# be among yours.

# %% [markdown]
# ## More mistakes · 19 min
#
# Three that are easy to make and hard to see. Each is made, seen, and mended.
#
# **Do frozen weights stay?** A common plan: train everything for a while, then freeze the backbone and go on with the
# head. The optimiser was made at the start, so it still holds all weights. Here are three updates with everything,
# then twenty with the backbone frozen:

# %%
import pandas as pd
import torch
from torch import nn
from course_utils.training.freezing import freeze

digits = load_task("digits", per_class=3)
y = torch.as_tensor(digits.train.y)
batch = load_model("photonet").prepare(torch.as_tensor(digits.train.x))

def train(model, optimiser, steps, set_to_none):
    for _ in range(steps):
        optimiser.zero_grad(set_to_none=set_to_none)
        nn.functional.cross_entropy(model(batch), y).backward()
        optimiser.step()


# %%
for set_to_none in (True, False):
    model = load_model("photonet", num_classes=10)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    train(model, optimiser, 3, set_to_none)
    freeze(model.stages)
    weight = model.stages["layer3"].conv1.weight
    before = weight.clone()
    train(model, optimiser, 20, set_to_none)
    share = (weight - before).norm() / before.norm()
    print(f"set_to_none={set_to_none}: layer3 moved by {share:.1%} of its length")


# %% [markdown]
# The same line, `requires_grad = False`, and two outcomes. It only stops PyTorch from computing *new* gradients. What
# the optimiser does depends on the old one:
#
# - `.grad` is `None`: the optimiser skips this weight, decay and momentum included.
# - `.grad` is zero: that is a gradient like any other. Weight decay shrinks the weight, and momentum from before the
#   freezing rolls on.
#
# Since PyTorch 2.0 `zero_grad()` sets `None`, so frozen weights usually stay. Many loops still write
# `set_to_none=False`, or `grad.zero_()`, or mask gradients to freeze a *part* of a layer. Here is who moves after 100
# updates, for the first layer of a tiny network:

# %%
def moved(way, name, **settings):
    torch.manual_seed(0)
    first, x, target = nn.Linear(8, 8), torch.randn(64, 8), torch.randn(64, 2)
    network = nn.Sequential(first, nn.Tanh(), nn.Linear(8, 2))
    optimiser = getattr(torch.optim, name)(network.parameters(), lr=0.01, **settings)
    if way == "gradient masked with zeros":
        first.weight.register_hook(torch.zeros_like)
    # How many updates come before the freezing.
    start = 0 if way == "frozen at once" or "masked" in way else 3
    for step in range(start + 100):
        if step == start:
            first.weight.requires_grad = "masked" in way
            before = first.weight.detach().clone()
        optimiser.zero_grad(set_to_none="zeros" not in way)
        (network(x) - target).square().mean().backward()
        optimiser.step()
    return f"{(first.weight - before).norm() / before.norm():.1%}"


# %%
ways = ["frozen at once", "frozen later, gradient None",
        "frozen later, gradient zeros", "gradient masked with zeros"]
optimisers = {"SGD with decay": {"name": "SGD", "weight_decay": 0.1},
              "SGD with momentum": {"name": "SGD", "momentum": 0.9},
              "Adam, no decay": {"name": "Adam"},
              "AdamW": {"name": "AdamW", "weight_decay": 0.1}}
pd.DataFrame({title: {way: moved(way, **how) for way in ways}
              for title, how in optimisers.items()})

# %% [markdown]
# The two upper rows are safe with every optimiser. In the third, Adam moves the weights without any decay: it divides
# the momentum that is left by the size of past gradients, and goes on in the old direction. In the last row only
# decay moves anything. Weight decay alone cannot move a weight without a gradient, whatever you read.
#
# The mend: freeze first, then give the optimiser what is left. If you freeze in the middle, make a new optimiser.

# %%
model = load_model("photonet", num_classes=10)
freeze(model.stages)
learning = [p for p in model.parameters() if p.requires_grad]
optimiser = torch.optim.AdamW(learning, lr=1e-3, weight_decay=0.1)
before = model.stages["layer3"].conv1.weight.clone()
train(model, optimiser, 20, set_to_none=False)
print("moved:", not torch.equal(before, model.stages["layer3"].conv1.weight))

# %% [markdown]
# **The head frozen by accident.** The head is replaced, then "the model" is frozen: all of it. PyTorch complains, and
# the message sounds as if the loss were to blame.

# %%
freeze(model)  # meant: freeze(model.stages)
loss = nn.functional.cross_entropy(model(batch), y)
try:
    loss.backward()
except RuntimeError as error:
    print(error)


# %% [markdown]
# A forum will tell you to write `loss.requires_grad_()`. The error goes away, and so does all learning. The next
# mistake gives no error at all: the optimiser is made *before* the new head, and holds the old one.

# %%
def losses(optimiser, cure=False, steps=4):
    found = []
    for _ in range(steps):
        loss = nn.functional.cross_entropy(model(batch), y)
        optimiser.zero_grad()
        (loss.requires_grad_() if cure else loss).backward()
        optimiser.step()
        found.append(round(loss.item(), 3))
    return found

everything = torch.optim.SGD(model.parameters(), lr=0.1)
print("all frozen, and the forum's cure:", losses(everything, cure=True))
model.head.requires_grad_(True)
early = torch.optim.SGD(model.head.parameters(), lr=0.1)
model.head = nn.Linear(model.width, 10)
late = torch.optim.SGD(model.head.parameters(), lr=0.1)
print("optimiser before the new head:   ", losses(early))
print("optimiser after the new head:    ", losses(late))

# %% [markdown]
# The symptom is the same: on one batch the loss stays *exactly* equal. A loss that falls slowly is a matter of rates;
# one that does not move in the third digit is a head that does not learn. Before a long run, look at what trains:

# %%
print([name for name, weight in model.named_parameters() if weight.requires_grad])

# %% [markdown]
# **Another backbone's normalisation.** PhotoNet was trained on pictures from which its own mean was taken, divided by
# its own deviation. In your code the numbers of ImageNet slip in, because every tutorial has them. Or a library reads
# pictures as blue, green, red. Or nobody normalises. What does it cost? It may happen in two ways: **everywhere**, so
# the head at least learns from what it will see; or **only later**, in the program that uses the head.

# %%
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

def features(x, way):
    model = load_model("photonet")
    if way == "ImageNet's":
        model.mean.copy_(torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        model.std.copy_(torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))
    elif way == "none":
        model.mean.zero_()
        model.std.fill_(1)
    return extract(model, x[:, ::-1] if way == "blue, green, red" else x)


def probe(x, y):
    head = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    return head.fit(x, y)


# %% [markdown]
# Ten draws of twenty training pictures of each class, a probe (a linear head) on each, always the same test pictures.
# The table has the accuracy that is lost: the mean of the ten draws, the smallest and the largest. Below zero, the
# wrong numbers did better.

# %%
rows = []
for task in (load_task("digits", per_class=60),
             load_task("ants_bees", fallback="textures")):
    y, test = task.train.y, task.test
    seen = {way: (features(task.train.x, way), features(test.x, way))
            for way in ("its own", "ImageNet's", "blue, green, red", "none")}
    for draw in range(10):
        order = np.random.default_rng(draw).permutation(len(y))
        some = np.concatenate([order[y[order] == k][:20] for k in np.unique(y)])
        heads = {way: probe(train[some], y[some]) for way, (train, _) in seen.items()}
        right = heads["its own"].score(seen["its own"][1], test.y)
        rows += [{"task": task.name, "normalised": way,
                  "everywhere": right - heads[way].score(x, test.y),
                  "only later": right - heads["its own"].score(x, test.y)}
                 for way, (_, x) in seen.items() if way != "its own"]
lost = pd.DataFrame(rows).groupby(["task", "normalised"], sort=False)
lost.agg(["mean", "min", "max"]).round(2) + 0.0  # + 0.0 turns -0.0 into 0.0

# %% [markdown]
# - **ImageNet's numbers, everywhere**: they cost nothing that ten draws could show. They are close to PhotoNet's own,
#   and the head learns to live with the rest. **Only later**, they cost the digits almost .1.
# - **Blue, green, red** costs the grey digits nothing, since their three channels are equal. Ants and bees lose .07
#   even when the head learned from swapped pictures: the backbone knows colours.
# - **No normalisation** is bearable everywhere and ruinous only later.
#
# So the rule is not "use the right numbers" alone, but: **the same numbers in training and in use**. The mend is to
# let the model own its way in, as `model.encode` and `model.prepare` do here, `weights.transforms()` in torchvision
# and `timm.data.create_transform` in timm.

# %% [markdown]
# ## Homework for a class · 7 min
#
# In groups of two or three: choose two things that you all have at home (cups and glasses; maple and oak leaves).
# Take **ten phone photographs of each**, in a folder for each thing. Use the same two folder names as the
# neighbouring group. Then, in this order:
#
# 1. **Guess** the share of new photographs that a head will get right, and write it down.
# 2. **Measure** it: 5-fold validation on your twenty photographs.
# 3. **Swap** folders with the neighbours: your head, their photographs.
#
# Without folders the cell takes stand-ins: twenty photographs of ants and bees for yours, twenty others for theirs.

# %%
GUESS = 0.80
OURS, THEIRS = "", ""  # for example "ours/" and "theirs/"

# %%
import numpy as np
def all_pictures(folder):
    task = task_from_folder(folder)
    x = np.concatenate([task.train.x, task.test.x])
    return x, np.concatenate([task.train.y, task.test.y]), task.classes

if OURS and THEIRS:
    x, y, classes = all_pictures(OURS)
    their_x, their_y, their_classes = all_pictures(THEIRS)
    assert classes == their_classes, (
        f"Name the folders alike: {classes} and {their_classes}.")
else:
    task = load_task("ants_bees", per_class=10, fallback="textures")
    (x, y), classes = (task.train.x, task.train.y), task.classes
    ten = np.concatenate([np.flatnonzero(task.test.y == k)[:10]
                          for k in range(len(classes))])
    their_x, their_y = task.test.x[ten], task.test.y[ten]
print(f"{len(y)} photographs of ours, {len(their_y)} of theirs: {', '.join(classes)}")

# %%
import pandas as pd
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

backbone = load_model("photonet")
ours, theirs = extract(backbone, x), extract(backbone, their_x)
head = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
folds = StratifiedKFold(5, shuffle=True, random_state=0)
shares = {"our guess": GUESS,
          "5-fold, ours": cross_val_score(head, ours, y, cv=folds).mean(),
          "our head, their photographs": head.fit(ours, y).score(theirs, their_y)}
table = pd.DataFrame({"share right": shares})
counts = {"5-fold, ours": len(y), "our head, their photographs": len(their_y)}
for name, n in counts.items():
    interval = binomtest(round(n * shares[name]), n).proportion_ci(method="wilson")
    table.loc[name, ["from", "to"]] = interval.low, interval.high
table.round(2).astype(object).fillna("")  # a guess has no interval

# %% [markdown]
# With twenty photographs the 95 % interval is about .4 wide. That is the first lesson of the homework. Now look at
# their photographs through your head, the surest mistakes first:

# %%
from course_utils.lessons import lesson02

chances = head.predict_proba(theirs)
surest = chances[range(len(their_y)), their_y].argsort()[:6]
plots.predictions(their_x[surest], their_y[surest], chances[surest], classes)

# %% [markdown]
# <details><summary>The figure in words</summary>
# The six of their photographs to which our head gives the smallest chance for the right name. Above each stands a
# tick or a cross, what the head calls it with its chance, and below a cross what it really is.
# </details>
#
# Collect the results of all groups on the board:
#
# | group | two things | guess | 5-fold, ours | our head, their photographs | their head, our photographs |
# |---|---|---|---|---|---|
# | 1 | | | | | |
# | 2 | | | | | |
# | 3 | | | | | |
#
# To discuss:
#
# 1. Two groups have .85 and .95. May the second say that its task is easier? Look at the intervals.
# 2. Whose accuracy falls on the neighbours' photographs? What differs: table, light, phone? What may the head have
#    learned instead of the thing? (With the stand-ins both sides come from one collection, so nothing need fall.)
# 3. Somebody took five photographs of one cup without moving. What does 5-fold validation measure then? What would
#    you split instead? (`GroupKFold` of scikit-learn keeps all pictures of a cup in one fold.)
