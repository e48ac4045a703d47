# %% [markdown]
# # 02 · Feature extraction: a recipe · 45 min
#
# You have a pretrained network and a few pictures of your own. Do you **freeze** it and train a new head, or let all of
# it learn? People say: *"below 500 examples per class, freeze the backbone."* Here you cook the recipe, check that
# frozen is frozen, and put the rule to the test.
#
# After this lesson you can
#
# - turn any backbone into a fixed source of features, and train a head on them;
# - prove that a frozen network does not move;
# - decide from measurements, not from a number of examples, whether to freeze or to fine-tune.
#
# <details><summary>For teachers</summary>
#
# Route for 90 minutes: the core, then the lab's "Costs" and "A real leak". Collect the votes for the prediction by
# hand. Let pupils guess the three percentages of the first figure before it is shown. In a hurry, skip "What does a
# step cost?". The mistake to expect: `backbone.eval()` once, before a loop that calls `train()`.
# </details>

# %%
from course_utils import (
    check, claim, describe, evaluate, extract, fit, load_model, load_results, load_task,
    paired_difference, plots, quiz, recall, spot_check, task_from_folder, widgets)

# %%
import os
TASK = "ants_bees"  # or the path of a folder of pictures, with a folder for each class
if os.path.isdir(TASK):
    task = task_from_folder(TASK, image_size=48)
else:
    task = load_task(TASK, image_size=48, fallback="textures")
task

# %% [markdown]
# ## It already knows · 3 min
#
# Nothing is trained yet. Take a test photograph and find the five training photographs most like it. What "like" means
# is up to the **features**, the numbers that describe a picture: its pixels, what an untrained network makes of it, or
# what PhotoNet does, which has seen a hundred thousand photographs of other things.

# %%
from course_utils.lessons import lesson02

near = lesson02.neighbourhood
ways = {"pixels": None, "the untrained network": load_model("photonet", pretrained=False),
        "the pretrained network": load_model("photonet")}
found = {way: near.neighbours_of(task, model) for way, model in ways.items()}

def show(n):
    return lesson02.figures.neighbours(task, n, found)

others = range(0, len(task.test), len(task.test) // 12)
widgets.slider(show, [near.most_ordinary(found), *others], "test photograph")

# %% [markdown]
# <details><summary>The figure in words</summary>
# A test photograph on the left, and three rows of its five nearest neighbours on the right, each with a tick if it
# shows the same class and a cross if not. At the end of each row stands the share that is right over all test
# photographs. It is largest for the pretrained network.
# </details>
#
# The first photograph is the most ordinary one: its three rows come closest to the averages at their ends. By pixels,
# the neighbours share little but the background. By the pretrained network they share more, although nobody told it
# what a bee is. Move the slider to other photographs.
#
# ## Letters, and your prediction · 2 min
#
# Most of this lesson is about a task unlike any photograph: capital letters, tested in fonts that nobody learned from.

# %%
letters = load_task("letters", per_class=10)
lesson02.figures.letters_shown(letters)

# %% [markdown]
# <details><summary>The figure in words</summary>
# Eight capital letters in two rows. The upper row is learned from, the lower one is tested and has other fonts. Some
# are slanted, turned a little, blurred, or light on dark.
# </details>

# %%
quiz("02-freeze")

# %% [markdown]
# ## The recipe · 6 min
#
# Six steps, in plain PyTorch. **One: choose a model.** It comes with its own way to prepare pictures. **Two: remove the
# head**, which names the source's things. **Three: freeze** what is left. **Four: add a head** for your classes.

# %%
import torch
from torch import nn

torch.manual_seed(0)
model = load_model("photonet")  # one
# two: all but the head, then the mean over all places
backbone = nn.Sequential(*model.stages.values(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
backbone.requires_grad_(False)  # three, or so it seems
head = nn.Linear(256, len(task.classes))  # four

# %% [markdown]
# **Five: train the head.** **Six: evaluate**, on pictures that nobody trained on or chose by.

# %%
from torch.nn.functional import cross_entropy

def train_head(head, task, steps=100):  # five
    x, y = torch.tensor(task.train.x), torch.tensor(task.train.y)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.01)
    for _ in range(steps):
        batch = torch.randint(len(y), (16,))
        loss = cross_entropy(head(backbone(model.prepare(x[batch]))), y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


# %%
def accuracy(head, task):  # six
    backbone.eval()
    with torch.no_grad():
        answers = head(backbone(model.prepare(torch.tensor(task.test.x)))).argmax(dim=1)
    return f"{(answers.numpy() == task.test.y).mean():.0%}"

backbone.eval()
train_head(head, task)
print("right on the test pictures:", accuracy(head, task))

# %% [markdown]
# This was one run, though; the intervals come below.
#
# ## The frozen network that moves · 3 min
#
# Now **break it**. The backbone is frozen, so it can serve a second task: digits. We give it a new head and the same
# loop. Only this time we call `train()` first, as every training loop does.

# %%
digits = load_task("digits", per_class=10)
second = nn.Linear(256, 10)
print("first task, before:", accuracy(head, task))
backbone.train()
train_head(second, digits)
print("first task, after: ", accuracy(head, task))
print("parameters that can learn:", sum(p.requires_grad for p in backbone.parameters()))


# %% [markdown]
# Nobody touched the first head, and no parameter changed. Yet the first task suffered. **Batch norm** keeps a running
# mean and variance of what flows through it, and in `train()` mode every pass moves them. They are **buffers**, not
# parameters, so `requires_grad` does not hold them. The network now sees ants as if the world were made of digits.
#
# ## Exercise: freeze, honestly · medium · 12 min
#
# Write `freeze(network)`: afterwards no parameter trains, no statistic moves, and every layer answers as in `eval()`,
# even when someone calls `network.train()`. `network.modules()` gives all layers. A **hook** helps: after
# `layer.register_forward_pre_hook(stay)`, PyTorch calls `stay(layer, inputs)` before each pass through that layer. It
# must return nothing. Whether a layer is in training mode is `layer.training`.

# %%
def freeze(network):
    ...  # your code

check("02-freeze", freeze)


# %% jupyter={"source_hidden": true} tags=["solution"]
# Solution
def freeze(network):
    network.requires_grad_(False)

    def stay(layer, inputs):
        layer.training = False

    for layer in network.modules():
        layer.register_forward_pre_hook(stay)

check("02-freeze", freeze, solution=True)

# %% [markdown]
# The package has its own `freeze`, and `assert_frozen`, which compares every parameter and buffer bit by bit. The same
# two tasks again:

# %%
from course_utils.training import freezing

model = load_model("photonet")
backbone = nn.Sequential(*model.stages.values(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
freezing.freeze(backbone)
head, second = nn.Linear(256, len(task.classes)), nn.Linear(256, 10)
with freezing.assert_frozen(backbone):
    for learner, what in ((head, task), (second, digits)):
        backbone.train()
        train_head(learner, what)
        print(f"after training on {what.name}, the first task: {accuracy(head, task)}")

# %% [markdown]
# Now the first head keeps what it had. From here on, `fit(model, task, "feature_extraction")` does all six steps. And
# because a frozen backbone always gives the same features, it computes them only once.
#
# ## How good, with how many? · 2 min
#
# One run proves nothing, so here are stored ones, ten seeds per size. There are three ways to learn. **Frozen** reads
# the best stage, averaged over the whole picture or, where that helps, over each cell of a 4 x 4 grid. In
# **fine-tuning** the backbone learns too. **From scratch** has no transfer. The grey band runs from chance to the best
# head without trained features. Tiles are photographs of faults in metal.

# %%
networks = "photonet", "efficientnet_lite0"
photonet, lite0 = map(lesson02.compared.ways_to_use, networks)
lesson02.figures.accuracy_by_task(photonet, lite0)

# %% [markdown]
# <details><summary>The figure in words</summary>
# Accuracy against examples of each class. The upper row is PhotoNet, with a panel for letters, digits, tiles, ants and
# bees; the lower one is EfficientNet-Lite0, without the last. Each panel has three lines, for fine-tuning, frozen and
# from scratch, and a grey band from chance to the best head without a trained backbone.
# </details>
#
# What a backbone is worth depends on the task. For letters it is worth a lot. For digits it is worth little: on PhotoNet
# a head on random weights does nearly as well. On tiles nobody is good. So try the controls; they cost seconds.
#
# ## Freeze, or fine-tune? · 7 min
#
# By the rule, freezing should win in all of these cells, for all have far fewer than 500 examples. Here is the
# difference, seed by seed, on the same test pictures.

# %%
lesson02.figures.differences_by_task(photonet, lite0)

# %% [markdown]
# <details><summary>The figure in words</summary>
# Four panels, fine-tuning minus freezing in points against examples of each class, with intervals; circles for PhotoNet
# and squares for EfficientNet-Lite0. A point above zero means that fine-tuning is better; a hollow one has an interval
# that includes zero.
# </details>

# %%
ten = lesson02.compared.gap(photonet, "letters", 10)
recall("02-freeze", "C" if ten.mean >= 0.05 else "A" if ten.mean <= -0.05 else "B")

# %% [markdown]
# The two networks disagree. With PhotoNet fine-tuning is ahead for letters at every size, and for two digits of each.
# With EfficientNet-Lite0 freezing leads at two letters, two digits and ten digits of each. Elsewhere we cannot tell.
#
# The **primary claims**, written down before the grids ran, are about ten letters of each class. Everything else in the
# figure is exploratory. Pretraining has luck too, so two PhotoNets of other seeds come first:

# %%
for name in lesson02.compared.OTHER_PHOTONETS:
    other = lesson02.compared.ways_to_use(name)
    print(name, lesson02.compared.gap(other, "letters", 10))

claim("With ten letters of each class, fine-tuning PhotoNet leads the frozen network "
      "at its best by {effect}.", ten)

# %%
claim("With ten letters of each class, fine-tuning EfficientNet-Lite0 leads the frozen "
      "network at its best by {effect}.", lesson02.compared.gap(lite0, "letters", 10),
      expect="unknown")

# %%
spot_check("heads")

# %% [markdown]
# <details><summary>How this was measured</summary>
#
# Fine-tuning and from scratch had 400 updates of 16 pictures, and twelve settings or more to choose from on PhotoNet,
# six on EfficientNet-Lite0 (at 64 pixels), tried on other seeds within the training pool; the heads are fitted to the end, with a penalty, a stage and the number of
# places chosen in the same way. Test letters are in five font families that nobody learned from, and the settings
# were chosen on families held out like them. Stages and rates were chosen at ten of each and used at all sizes, the
# heads' penalty at each: away from ten the frozen arm is tuned better, and from scratch may fall behind for that. The
# PhotoNets of other seeds keep what was tuned on the first. Of 21 comparisons a few may stray by luck. The intervals count other seeds and other test pictures, those of
# one font, tile or photograph together. Ants and bees are shown for PhotoNet alone, whose source holds neither.
# </details>
#
# ## What does a step cost? · 4 min
#
# People also say: *"extracting features is about twice as fast as fine-tuning."* Fine-tuning goes forward and backward
# through everything. The frozen loop goes forward only. With **cached** features the backbone rests.

# %%
from time import perf_counter

def milliseconds(update, times=8):
    update()
    start = perf_counter()
    for _ in range(times):
        update()
    return 1000 * (perf_counter() - start) / times


# %%
x, y = model.prepare(torch.tensor(task.train.x[:16])), torch.tensor(task.train.y[:16])
tuned, cached = load_model("photonet", len(task.classes)), backbone(x)
costs = {
    "fine-tuning": milliseconds(lambda: cross_entropy(tuned(x), y).backward()),
    "frozen": milliseconds(lambda: cross_entropy(head(backbone(x)), y).backward()),
    "cached": milliseconds(lambda: cross_entropy(head(cached), y).backward()),
}
print("  ".join(f"{way} {cost:.2f} ms" for way, cost in costs.items()))

# %% [markdown]
# A pass forward costs one, and backward about two, so a step of the frozen loop takes about a third. And caching is
# what freezing is for: many epochs cost one pass through the backbone.
#
# ## One question from before · 1 min

# %%
quiz("02-probe")

# %% [markdown]
# ## What to take away · 1 min
#
# 1. Freezing means parameters *and* batch-norm statistics. Check it; `requires_grad = False` alone lets a network
#    drift.
# 2. A frozen backbone with a fitted head is a cheap start, and its features can be computed once.
# 3. Whether fine-tuning beats it depends on the task and the network: for ten letters it does on PhotoNet, and on
#    EfficientNet-Lite0 we cannot tell.
#
# **Start frozen, with the stage and the places chosen on training pictures kept aside. Then fine-tune, and keep what
# does better there.**
#
# > *"Below 500 examples per class, freeze"* · for ten letters it **does not hold** on three PhotoNets, where
# > fine-tuning leads by 9.7 points to 10.6 points; on EfficientNet-Lite0 we **cannot tell** for letters, and for ten digits
# > freezing leads. For tiles, ants and bees we cannot tell.
#
# > *"Extracting features is about twice as fast as fine-tuning"* · **does not hold here**: a step takes about a third
# > of the time, and with cached features hardly any.
#
# **Where next.** The [lab](02_lab.ipynb) has maps of features, the choice of a stage and of an epoch, a real leak,
# costs and homework. The papers are [Sharif Razavian and others 2014](https://arxiv.org/abs/1403.6382), "CNN features
# off-the-shelf", and [Kornblith, Shlens and Le 2019](https://arxiv.org/abs/1805.08974). The call in your own project
# is `timm.create_model("resnet18", pretrained=True, num_classes=0)`: without classes it gives features.
