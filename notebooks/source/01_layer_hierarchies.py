# %% [markdown]
# # 01 · Layer hierarchies: a dissection · 47 min
#
# People say: *"early layers are universal, late layers are specific to the task."* If so, one could choose where to
# cut a network before anything is trained. In this lesson you open a network, look into each stage and measure what it
# knows.
#
# <details><summary>For teachers</summary>
#
# Route for 90 minutes: the core (50), then the lab's "What excites a channel" with its exercise (25) and "Dreaming"
# where there is time. Collect the votes for the prediction by hand. Let pupils sort the five panels aloud. In a
# hurry, skip "A mistake that nobody notices". The mistake to expect: reading the best stage off the test accuracies,
# and then quoting that accuracy.
# </details>

# %%
from course_utils import (
    check, claim, describe, evaluate, extract, fit, load_model, load_results, load_task,
    paired_difference, plots, quiz, recall, spot_check, task_from_folder, widgets)

# %%
TASK = "digits"  # or the path of a folder of pictures, with a folder for each class
# A number picks one of the course's photographs; or write the path of one of yours.
PHOTOGRAPH = 16  # or "mine.jpg"

# %% [markdown]
# ## A network is a chain · 2 min
#
# PhotoNet has five **stages**. Each takes the maps of the one before and makes new ones: more **channels**, fewer
# places. A channel is one map, a number for each place: how strongly something was found there. The number is called
# its **activation**.

# %%
model, twin = load_model("photonet"), load_model("photonet", pretrained=False)
model.stages["stem"]

# %% [markdown]
# The stem is a single convolution of 7 x 7 pixels. Its 32 **kernels** are small pictures themselves, because they look
# at red, green and blue. Beside them is the untrained **twin**: the same network with random weights.

# %%
from course_utils.lessons import lesson01

lesson01.figures.filters(model.stages["stem"][0].weight, twin.stages["stem"][0].weight)

# %% [markdown]
# <details><summary>The figure in words</summary>
# Two blocks of 32 small squares. The trained ones show blobs of colour, edges from dark to light, spots with a rim and
# a few stripes. The untrained ones show noise without any pattern.
# </details>
#
# Nobody drew these edges and blobs: they came out of naming photographs. Other networks that were trained on
# photographs have such a stem too, and that is where the word "universal" comes from (Yosinski and others, 2014).
#
# ## What a stage sees · 1 min
#
# Here is a photograph, and the eight channels that respond to it most, the strongest first. Move the slider from
# stage to stage.

# %%

photograph = lesson01.views.photograph_of(PHOTOGRAPH)
maps = {stage: extract(model, photograph[None], stage, pooled=False)[0]
        for stage in model.stages}
widgets.slider(lambda stage: lesson01.figures.feature_maps(photograph, maps[stage], stage),
               model.stages, "stage")

# %% [markdown]
# <details><summary>The figure in words</summary>
# The photograph on the left, eight maps of the stem on the right. The maps are like drawings of the photograph: its
# outlines, its bright or its coloured parts. From stage to stage the maps have fewer and larger squares, and in the
# last stage a map has four by four of them, most of which are dark.
# </details>
#
# Early maps still look like the photograph. Late ones say little about where. Whether they say *what*, a map cannot
# show.
#
# ## Exercise: sort the stages · easy · 8 min
#
# Five panels show another picture as the five stages see it, each the mean over its channels. Which order is it from
# stem to layer4? And which clue did you use: **1** the colours, **2** the grain (how large the squares are, how sharp
# the outlines), **3** how bright a panel is? Answer with both: five letters and a number.

# %%
other = lesson01.views.photograph_of(1)
lesson01.figures.panels(lesson01.views.as_seen(model, other))

# %% [markdown]
# <details><summary>The figure in words</summary>
# Five panels, A to E, of one photograph, which is not shown. Two consist of fine squares, three of coarser ones, and
# in some of them one can make out an outline.
# </details>

# %%
answer = ...  # your code, such as ("ABCDE", 1)

check("01-order", answer)

# %% jupyter={"source_hidden": true} tags=["solution"]
# Solution
answer = ("BDAEC", 2)

check("01-order", answer, solution=True)

# %% [markdown]
# ## What does a stage know? · 2 min
#
# Looking is not measuring. A **probe** is: take a stage's **features** (its maps, each averaged over all places) and
# train the simplest classifier on them, a linear one. What the probe gets right is in the features; it has nothing
# else to go by.
#
# We probed every stage of PhotoNet on three tasks: **ants and bees**, photographs like those of the source;
# **letters** in many fonts; handwritten **digits**. Each with 1, 5, 20 and, where there are enough, 80 examples of
# each class, over ten seeds. The untrained twin is probed too: it is the control.
#
# The **star** marks the best stage. It is chosen on held-out pictures, which no probe learned from and which are not
# the test pictures either. Whoever chooses on the test pictures fools themselves. The star is filled if the stage is
# clearly ahead of every other one, and hollow if a second may be as good.

# %%
quiz("01-star")

# %% [markdown]
# ## Does the star slide? · 8 min
#
# How far is a task from the source? Not by opinion: the **distance** compares PhotoNet's last features of 150
# pictures of the task with those of 150 photographs of the source. It has no unit. Two draws of the source itself
# give about 0.

# %%
distance = load_results("source_distance").groupby("task").distance.mean()
distance.sort_values().round(1).to_frame().T

# %%
names = {"ants_bees": "ants and bees", "letters": "letters", "digits": "digits"}
titles = {task: f"{name} · distance {distance[task]:.1f}" for task, name in names.items()}
pictures = {"ants_bees": photograph}
for name in ("letters", "digits"):
    pictures[name] = load_task(name, per_class=1).train.x[4]
seen = {task: lesson01.views.as_seen(model, pictures[task]) for task in names}
runs = load_results("probes")
whole = runs[runs.dimensions == 0]

# %%
chance = {"ants_bees": 83 / 153, "letters": 1 / 26, "digits": 0.1}
pretrained, untrained = (whole[whole.network == n] for n in ("pretrained", "untrained"))
lesson01.figures.best_stages(pretrained, titles, untrained, seen, chance)

# %% [markdown]
# <details><summary>The figure in words</summary>
# Three panels, ants and bees, letters and digits, with the stages from left to right and a line for 1, 5, 20 and 80
# examples of each class. For letters and digits every line rises to layer3, where its star is, and falls a little
# at layer4. For ants and bees with 20 of each the line rises to the end and the star is on layer4; with fewer the
# lines are nearly flat. A star is filled where its stage is clearly ahead of every other one: for letters with 5, 20
# and 80 of each, for digits with 80, for ants and bees with 5. The others are hollow, so a second stage may be as
# good. The untrained twin is a grey line that rises by .04 at most and falls on letters. Above, one picture of each
# task as each stage sees it, with ever fewer and larger squares. Dotted lines show chance.
# </details>

# %%
digits = whole.query("task == 'digits' and network == 'pretrained'")
held_out = digits.pivot_table(index="per_class", columns="stage", values="apart")
best = held_out[list(model.stages)].to_numpy().argmax(axis=1)
first, last = best[[0, -1]]  # the best stage with 1 example and with 80
recall("01-star", "A" if last > first else "B" if last == first else "C")

# %% [markdown]
# We expected a star that slides to the right: with more examples a probe can use more features, and layer4 has the
# most. It does not slide. For digits and letters it stays on layer3 from the first example to the eightieth. For
# ants and bees it wanders. Mind the hollow stars: with few digits, or with twenty ants and bees, a second stage may
# be as good.
#
# Our primary claim, written down before the runs, was about one digit of each class:

# %%
one_digit = pretrained.query("task == 'digits' and per_class == 1")
claim("With one digit of each class, layer3 leads layer4 by {effect}.",
      paired_difference(one_digit, "layer3", "layer4", on="stage"), expect="unknown")

# %% [markdown]
# So on digits we do not know. Letters are plain. With ants and bees layer4 looks better, but other test photographs
# could turn that round. These two we picked after seeing the figure, so they are **exploratory**: a reason to measure
# again, not a proof.

# %%
twenty_letters = pretrained.query("task == 'letters' and per_class == 20")
claim("With twenty letters of each class, layer3 leads layer4 by {effect}.",
      paired_difference(twenty_letters, "layer3", "layer4", on="stage"))

# %%
twenty_insects = pretrained.query("task == 'ants_bees' and per_class == 20")
claim("With twenty ants and bees of each class, layer4 leads layer3 by {effect}.",
      paired_difference(twenty_insects, "layer4", "layer3", on="stage"), expect="unknown")

# %% [markdown]
# Is it only that layer4 has 256 features and layer3 has 128? More features are harder to learn from with few examples.
# So here is a second control. A **principal component analysis** finds the 32 directions in which the features vary
# most, without looking at labels, and the probes see nothing else.

# %%
cut = runs.query("dimensions == 32 and network == 'pretrained' and per_class in [1, 20]")
table = cut.pivot_table(index=["task", "per_class"], columns="stage", values="accuracy")
table[list(model.stages)].round(2)

# %% [markdown]
# For letters layer3 stays ahead. On one digit even the small lead is gone, but the cut itself costs so much (.57 becomes
# .41) that this does not tell us why.
#
# ## And the early layers? · 2 min
#
# "Universal" should mean: good for every task. In the figure, the trained stem begins where the untrained twin
# begins. What do trained weights add at each stage, with 20 of each?

# %%
at_20 = whole[whole.per_class == 20]
for task, rows in at_20[at_20.stage == "stem"].groupby("task"):
    gain = paired_difference(rows, "pretrained", "untrained", on="network")
    print(f"stem, {task:9} {gain}")
means = at_20.pivot_table(index="task", columns=["network", "stage"], values="accuracy")
(means["pretrained"] - means["untrained"])[list(model.stages)].round(2)

# %% [markdown]
# At the stem, training adds .02 or less: the stem's averages tell what random kernels tell nearly as well. (A probe
# that sees the places might judge otherwise.) The large gains come at layer3 and layer4.
#
# Stored numbers deserve a check, so one probe is done again here:

# %%
spot_check("probes")

# %% [markdown]
# ## Exercise: probe it yourself · medium · 16 min
#
# `train` and `test` are dictionaries, stage -> features (N x D). Write the function that gives a dictionary, stage ->
# accuracy on the test features, for every stage in `train`. **Standardise** each feature first (mean 0, spread 1), so
# that none counts more because its numbers are larger. Then fit `LogisticRegression(max_iter=1000)`. Which examples
# may the scaler see? Ten lines are enough.

# %%
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

def probe_stages(train, y, test, y_test):
    ...  # your code

check("01-probe", probe_stages)


# %% jupyter={"source_hidden": true} tags=["solution"]
# Solution
def probe_stages(train, y, test, y_test):
    accuracy = {}
    for stage in train:
        scaler = StandardScaler().fit(train[stage])  # never on the test features
        head = LogisticRegression(max_iter=1000).fit(scaler.transform(train[stage]), y)
        accuracy[stage] = head.score(scaler.transform(test[stage]), y_test)
    return accuracy

check("01-probe", probe_stages, solution=True)

# %% [markdown]
# Now on `TASK`, with five of each class. If it is a folder of yours, this dissects the network on your own pictures.

# %%
import os
from course_utils.features import probe

load = task_from_folder if os.path.isdir(TASK) else load_task
task = load(TASK, per_class=5)
train, test = extract(model, task.train.x, "all"), extract(model, task.test.x, "all")
{stage: round(probe(train[stage], task.train.y).score(test[stage], task.test.y), 2)
 for stage in train}

# %% [markdown]
# ## A mistake that nobody notices · 4 min
#
# Let us **break it**: features in training mode. In `train()`, batch norm uses the mean and spread of the batch in
# hand, so the features of a picture depend on its neighbours. Here they come in batches of ten.

# %%
import numpy as np
import torch

def features_in(mode, x):
    getattr(model, mode)()
    with torch.no_grad():
        rows = [model.pool(model.run(model.prepare(part)))
                for part in model.encode(x).split(10)]
    model.eval()
    return torch.cat(rows).float().numpy()

saved = {name: tensor.clone() for name, tensor in model.state_dict().items()}
mixed = np.random.default_rng(0).permutation(len(task.train))
some = np.random.default_rng(0).permutation(len(task.test))[:100]
by_class = some[np.argsort(task.test.y[some], kind="stable")]

# %% [markdown]
# The probe learns from mixed batches. Then the same 100 test pictures come twice: mixed, and sorted by class, as they
# lie in many a folder.

# %%
for mode in ("eval", "train"):
    head = probe(features_in(mode, task.train.x[mixed]), task.train.y[mixed])
    for name, order in (("mixed", some), ("sorted", by_class)):
        accuracy = head.score(features_in(mode, task.test.x[order]), task.test.y[order])
        print(f"{mode:5} {name:6} {accuracy:.2f}")
same = [tensor.equal(saved[name]) for name, tensor in model.state_dict().items()]
print("the network is as it was:", all(same))
restored = model.load_state_dict(saved)

# %% [markdown]
# In `eval` the order makes no difference. In `train` the features are worse even when mixed, and the same pictures,
# sorted, are mostly wrong: what nearly all ten have in common, their class, is what batch norm subtracts. And merely
# looking has moved the network's statistics. No error, no warning. Call `model.eval()` before you take features;
# `extract` does it for you.
#
# ## One question from before · 1 min

# %%
quiz("01-seed")

# %% [markdown]
# ## What to take away · 1 min
#
# 1. Maps show what a stage looks at; a probe measures what it knows.
# 2. Which stage is best depends on the task: layer3 for letters; for digits and for ants and bees we cannot tell. Probe
#    them all; it takes seconds.
# 3. The trained stem is hardly better than a random one. The large gains come late.
#
# > *"Early layers are universal, late layers are specific to the task."* · **holds when** the task is letters (layer3
# > leads layer4 by .059); for digits and for ants and bees **we cannot tell**. The distance from the source does not
# > settle it. And "universal" is too kind to the stem: random kernels do nearly as well on
# > three of four tasks.
#
# **Where next.** The [lab](01_lab.ipynb) has what excites a channel, dreams, the likeness of
# networks, hooks, and Yosinski's experiment in small. The papers: [Alain and Bengio
# 2016](https://arxiv.org/abs/1610.01644) on probes, [Yosinski and others 2014](https://arxiv.org/abs/1411.1792) on
# transfer. The call in your own project is `torchvision.models.feature_extraction.create_feature_extractor(model,
# ["layer3"])`.
