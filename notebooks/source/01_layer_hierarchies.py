# %% [markdown]
# # 01 · Layer hierarchies: a dissection · 40 min
#
# What does each stage of a network know? People say: *"early layers are universal, late layers are specific to the
# task."* If so, you would know which stage to use. Here you open one, look into each stage, and measure.
#
# After this lesson you can
#
# - read a feature map, and tell an early one from a late one;
# - measure with a probe what any stage of a network knows;
# - find the best stage for your own pictures without looking at the test pictures.
#
# <details><summary>For teachers</summary>
#
# Route for a class of 90 minutes: the core, then the lab's "What excites a channel" with its exercise. Let pupils sort
# the five panels aloud, and collect the votes for the prediction by hand. In a hurry, skip "A mistake that nobody
# notices". The mistake to expect: reading the best stage off the test pictures, and then quoting its accuracy.
# </details>

# %%
from course_utils import (
    check, claim, describe, evaluate, extract, fit, load_model, load_results, load_task,
    paired_difference, plots, quiz, recall, spot_check, task_from_folder, widgets)

# %%
# A number picks one of the course's photographs; or write the path of one of yours.
PHOTOGRAPH = 1  # or "mine.jpg"
TASK = "digits"  # or the path of a folder of pictures, with a folder for each class

# %% [markdown]
# ## A photograph goes through a network · 2 min
#
# **PhotoNet** is a small network that learned to name photographs. It has five **stages**, called `stem`, `layer1`, …,
# `layer4`. Each makes new **maps** from those of the one before; later ones have more maps, or **channels**, and fewer
# places. For each place a map holds a number, the **activation**, which says how strongly something was found there.
#
# Move the slider from the stem to layer4. Below each map, your photograph comes out of the fog where the map is bright.
#

# %%
from course_utils.lessons import lesson01

model = load_model("photonet")
photograph = lesson01.views.photograph_of(PHOTOGRAPH)
maps = extract(model, photograph[None], "all", pooled=False)
draw = lesson01.figures.feature_maps
widgets.slider(lambda stage: draw(photograph, maps[stage][0], stage), maps, "stage")

# %% [markdown]
# <details><summary>The figure in words</summary>
# On the left a photograph of an ant on a twig, on the right four maps in the upper row. In the stem they are like
# drawings of it, outlines in fine grain. From stage to stage the squares grow. In the last stage a map has eight by
# eight of them. The lower row shows the photograph in a grey fog, which lifts where the map above is bright: along the
# edges in the stem, and over the ant's head, its body, its legs and the twig in the last stage.
# </details>
#
# Early maps are drawings of the photograph. Late ones are coarse, and some are bright on one part of the thing alone.
# Set `PHOTOGRAPH` to 16, or to a picture of yours.
#
# ## Where it begins · 1 min
#
# The stem is one convolution. Its **kernels**, 7 x 7 weights each, slide over the photograph. Beside them is the
# **untrained** network, the same with random weights.

# %%
untrained = load_model("photonet", pretrained=False)
lesson01.figures.filters(model.stages["stem"][0].weight, untrained.stages["stem"][0].weight)

# %% [markdown]
# <details><summary>The figure in words</summary>
# Two blocks of 32 small squares. The trained ones show blobs of colour, edges from dark to light, spots with a rim and
# a few stripes. The untrained ones show noise without any pattern.
# </details>
#
# Nobody drew these edges and blobs. They came out of naming photographs, and [many other
# networks](https://arxiv.org/abs/1411.1792) have such a stem too. That is where the word "universal" comes from.
#
# ## Exercise: sort the stages · easy · 6 min
#
# Five panels show another photograph as the five stages see it, each the mean over all channels. Which order is it
# from stem to layer4? And which clue did you use: **1** the colours, **2** the grain (how large the squares are, how
# sharp the outlines), **3** how bright a panel is? Two panels have squares of the same size; of these the earlier one
# has the sharper outlines. Answer with five letters and a number.

# %%
other = lesson01.views.photograph_of(18)
lesson01.figures.panels(lesson01.views.as_seen(model, other))

# %% [markdown]
# <details><summary>The figure in words</summary>
# Five panels, A to E, of one photograph, which is not shown. B and D consist of the finest squares, and one can make
# out a flower in them. A, E and C are coarser, in this order; C has eight by eight squares.
# </details>

# %%
answer = ...  # your code, such as ("ABCDE", 1)

check("01-order", answer)

# %% jupyter={"source_hidden": true} tags=["solution"]
# Solution
answer = ("BDAEC", 2)

check("01-order", answer, solution=True)

# %% [markdown]
# ## How would it show? · 2 min
#
# A **probe** measures it: take the **features** of a stage, its maps averaged over all places, and
# train the simplest classifier on them, a linear one. What it gets right must be in the features.
#
# What would you see?
#
# - **Universal early:** a trained stem beats an untrained one, on every task.
# - **Specific late:** for a task unlike the **source**, what the network was trained on, the best stage comes before
#   the last one.
#
# PhotoNet's source is photographs. Our tasks are **letters** in many fonts, handwritten **digits**, magnetic **tiles**
# with five kinds of faults or none, and **ants and bees**. Only the last is like the source.

# %%
quiz("01-star")

# %% [markdown]
# ## Where is the best stage? · 7 min
#
# Here are the probes, with ten examples of each class, on PhotoNet and on EfficientNet-Lite0, which has one stage more.
# Begin at the upper left, with the letters. The **star** marks the stage that did best on training pictures kept aside,
# which need not be the longest bar. It is filled if, on the test pictures, its stage clearly beats every other one.

# %%
photonet, lite0 = map(lesson01.stages.probed, ("stages", "stages_lite0"))
lesson01.figures.best_stages(photonet, lite0)

# %% [markdown]
# <details><summary>The figure in words</summary>
# The upper row has four panels for PhotoNet, each with five bars from the stem at the top to layer4. For letters the
# bars grow to layer3, which has a filled star, and layer4 is shorter. For digits they grow to layer3 as well. For tiles
# all bars have long intervals. For ants and bees layer3 and layer4 are the longest and equally long. Grey bars of the
# untrained network lie behind: far shorter for letters from layer1 on, as long or longer at the stem. The lower row has
# EfficientNet-Lite0 on the first three tasks, with a filled star on layer3 for letters and for digits. From there the
# bars shrink to the last stage.
# </details>

# %%
letters = photonet.query("task == 'letters' and network == 'pretrained'")
star = letters.chosen.iloc[0]
recall("01-star", {"stem": "A", "layer1": "A", "layer4": "C"}.get(star, "B"))

# %% [markdown]
# Averaged, letters have their best stage at layer3, on both networks. For digits it is layer3 on EfficientNet-Lite0, and on PhotoNet
# we cannot tell. Nor can we for tiles, ants and bees.
#
# One sentence per network was written down before the probes ran, our **primary claims**. Pretraining has luck
# too, so two PhotoNets of other seeds come first:

# %%
for name, lead in lesson01.stages.on_other_photonets().items():
    print(name, lead)

claim("With ten letters of each class, layer3 is more accurate than layer4 by {effect}.",
      paired_difference(letters, "layer3", "layer4", on="stage"))

# %%
last = lite0.query("task == 'letters' and network == 'pretrained'")
claim("On EfficientNet-Lite0, the best earlier stage is more accurate than the last by "
      "{effect}.", paired_difference(last, last.chosen.iloc[0], "last", on="stage"))

# %% [markdown]
# All else here is **exploratory**. One probe is done again now:

# %%
spot_check("stages")

# %% [markdown]
# <details><summary>How this was measured</summary>
#
# Ten seeds per bar, each with its own draw of the examples. Each probe has a penalty tuned for this very task, stage
# and size, on three other seeds and within the training pool; these also choose the star. The untrained network is
# drawn anew by each seed, and takes its batch-norm statistics from the training pictures. Whether a stage leads
# *every* other one is four comparisons or five, so each must pass a stricter test (Holm's correction). Stages also
# differ in channels and in the size of their maps: a bar says which to use, not why. Test letters are in five font
# families that no probe learned from. Of tiles most are intact, so each kind counts alike. Ants and bees are tested on
# PhotoNet only: ImageNet holds them.
# </details>
#
# ## And the early layers? · 1 min
#
# What do trained weights add to random ones at the stem, in points? After ± stands half of the 95 % interval.

# %%
lesson01.stages.gains_at("stem", photonet, lite0)

# %% [markdown]
# "Universal" would be a clear gain in every row, and there is none. On EfficientNet-Lite0 the trained stem is even
# clearly behind, for letters and for digits.
#
# But averaging throws away *where* an edge is. The [lab](01_lab.ipynb) keeps the places.
#
# ## Exercise: probe it yourself · medium · 10 min
#
# `train` and `test` are the features of one stage (N pictures x D channels). Write the function that gives the
# accuracy on the test features, as a fraction. **Standardise** each feature first (mean 0, spread 1), then fit
# `LogisticRegression(max_iter=1000)`. Which examples may the scaler see?

# %%
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

def probe_stage(train, y, test, y_test):
    ...  # your code

check("01-probe", probe_stage)


# %% jupyter={"source_hidden": true} tags=["solution"]
# Solution
def probe_stage(train, y, test, y_test):
    scaler = StandardScaler().fit(train)  # never on the test features
    head = LogisticRegression(max_iter=1000).fit(scaler.transform(train), y)
    return head.score(scaler.transform(test), y_test)

check("01-probe", probe_stage, solution=True)

# %% [markdown]
# ## Your own pictures · 2 min
#
# Which stage suits the `TASK` that you named at the top? **Five-fold validation** asks the training pictures alone:
# learn from four fifths, predict the rest, five times in turn. It is one draw, so a few points may be luck.

# %%
import os
from course_utils.features import probe
from sklearn.model_selection import cross_val_score

load = task_from_folder if os.path.isdir(TASK) else load_task
task = load(TASK, per_class=10)
for stage, features in extract(model, task.train.x, "all").items():
    head = probe(features, task.train.y)
    print(f"{stage}: {100 * cross_val_score(head, features, task.train.y).mean():.0f} %")

# %% [markdown]
# ## A mistake that nobody notices · 4 min
#
# Let us **break it**. **Batch norm**, a layer that rescales its inputs, in training mode uses the mean and spread of
# the batch in hand, so the features of a
# picture depend on its neighbours. The probe learns from mixed batches of ten. Then the same test pictures come twice:
# mixed, and sorted by class, as in many a folder.

# %%
import numpy as np
import torch

def features_in(mode, x):
    network = getattr(load_model("photonet"), mode)()  # .eval() or .train()
    with torch.no_grad():
        batches = network.prepare(network.encode(x)).split(10)
        return torch.cat([network.pool(network.run(batch)) for batch in batches]).numpy()

mixed = np.random.default_rng(0).permutation(len(task.train))
some = np.random.default_rng(0).permutation(len(task.test))[:100]
orders = {"mixed": some, "sorted": some[np.argsort(task.test.y[some], kind="stable")]}

# %%
for mode in ("eval", "train"):
    head = probe(features_in(mode, task.train.x[mixed]), task.train.y[mixed])
    for name, order in orders.items():
        right = head.score(features_in(mode, task.test.x[order]), task.test.y[order])
        print(f"{mode:5} {name:6} {100 * right:.0f} %")

# %% [markdown]
# In `eval` the order makes no difference. In `train` the same pictures, once sorted, are mostly wrong: batch norm
# subtracts the mean of ten neighbours, and with it what they share, their class. Call `model.eval()` before you take
# features; `extract` does it for you.
#
# ## One question from before · 1 min

# %%
quiz("01-seed")

# %% [markdown]
# ## What to take away · 1 min
#
# 1. A map shows where a stage looks; a probe measures what it knows.
# 2. For letters the best stage comes before the last, on both networks. For most other tasks we cannot tell.
# 3. Trained kernels look universal, and yet, averaged, a trained stem gave a probe no clear gain over a random one.
#
# **Your pictures are unlike the source? Probe every stage on training pictures kept aside, and put the head where it
# is best.**
#
# > *"Early layers are universal, late layers are specific to the task."* · "Specific late" **holds when** the task is
# > letters: on PhotoNet layer3 leads layer4 by 7.7 points, on EfficientNet-Lite0 it leads the last stage by 20.1 points,
# > and there for digits too. Elsewhere we **cannot tell**. "Universal early" does not show in averaged features.
#
# **Where next.** The [lab](01_lab.ipynb) goes on. The
# papers are [Alain and Bengio 2016](https://arxiv.org/abs/1610.01644) on probes, and [Yosinski and others
# 2014](https://arxiv.org/abs/1411.1792) on what transfers. The call in your own project is
# `torchvision.models.feature_extraction.create_feature_extractor(model, ["layer3"])`.
