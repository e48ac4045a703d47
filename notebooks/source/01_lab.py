# %% [markdown]
# # 01 · Layer hierarchies, the lab: a menu · 102 min
#
# Seven ways to look deeper into a network, after [the core](01_layer_hierarchies.ipynb). Each stands on its own: run
# the next cell, then go where you like.
#
# - [What excites a channel](#excites): pieces of photographs, and the pixels it listens to; with an exercise
# - [More examples, and the places kept](#places): where does the best stage move?
# - [Dreaming](#dreaming): pictures that a channel would like most
# - [CKA: do two networks see the same?](#cka): one number, and its trap; with an exercise
# - [CKA: three comparisons, stage by stage](#stages): two seeds, and what fine-tuning changes
# - [Forward hooks, and the leak](#hooks): look inside any network; with an exercise
# - [The classic: borrowed stages](#borrowed): Yosinski's experiment in small
#
# <details><summary>For teachers</summary>
#
# For a class, "What excites a channel" and its exercise make a good half hour. "CKA" asks for more patience; "Forward
# hooks" suits those who will write their own training loops. "The classic" needs no computing time.
# </details>

# %%
from course_utils import (
    check, claim, describe, evaluate, extract, fit, load_model, load_results, load_task,
    paired_difference, plots, quiz, recall, spot_check, task_from_folder, widgets)

# %% [markdown]
# <a id="excites"></a>
#
# ## What excites a channel · 6 min
#
# A channel is a detector that is moved over the picture. What does it detect? We ask it twice: which pieces of
# photographs excite it most, and to which pixels does it listen?
#
# The pieces come from 14 photographs at three scales, and from the ants and bees at two. We try every place at which
# the whole piece lies in the picture, because the edge of a picture is an edge too. A place comes only once.

# %%
from course_utils.lessons import lesson01

model = load_model("photonet")
task = load_task("ants_bees", image_size=128, fallback="textures")
scenes = lesson01.dissection.scenes(task)
CHANNELS = range(4)
patches = lesson01.dissection.most_exciting(model, scenes, CHANNELS)

# %% [markdown]
# A unit of a stage can only see part of the picture: its **receptive field**. Counted on paper, it is a square of 7
# pixels for the stem and of 99 for layer4. We also measure it. How much would the unit in the middle change if a pixel
# did? That is the gradient. Its mean size over 64 pictures is the **effective** receptive field
# ([Luo et al. 2016](https://arxiv.org/abs/1701.04128)).
#
# Channels have no order, so we pick none: the slider goes through the first four of each stage.

# %%
fields = lesson01.dissection.fields(model)
middles = task.train.x[:64, :, 32:96, 32:96]

def draw(channel):
    rows = {stage: (field,
                    lesson01.dissection.effective_field(model, middles, stage, channel),
                    patches[stage][channel])
            for stage, field in fields.items()}
    return lesson01.figures.exciting_patches(rows, channel)

widgets.slider(draw, CHANNELS, "channel")


# %% [markdown]
# <details><summary>The figure in words</summary>
# Five rows, stem to layer4. On the left of each, a dashed frame for the theoretical field and within it a red patch
# for the measured one, strongest in the middle; a smaller square holds half of it. In layer4 the frame reaches beyond
# the picture on all sides. On the right, the seven pieces that excite the channel most. For channel 0: dark above
# light in the stem, light arcs in layer1, thin dark lines in layer2, bright or pointed things before a plain ground in
# layer3, ants and other dark things on rough ground in layer4. For channel 1, layer3 has coins and other round things.
# </details>
#
# Read it from top to bottom. Early rows repeat one edge or one colour, whatever it belongs to. Later rows show
# different things that have something in common, and it becomes harder to say what.
#
# Now the red patches. In layer3, half of the gradient lies in a square of 21 of the 51 pixels; if all pixels counted
# alike, it would take 36. A pixel in the middle reaches the unit by many paths, one at the rim by few.
#
# Our pictures have 64 pixels, so the 99 of layer4 never fit: the grey part of its frame is padding. What is left
# counts almost alike, half of it in 41 pixels where 45 would be even. The pieces of layer4 are shown at 63 pixels.
#
# Beware of names. Seven pieces are the extremes of many thousand places, and a channel answers to much else. Compare
# with `load_model("photonet", pretrained=False)`, after `extract(model, task.train.x)` has given it its batch-norm
# statistics: random channels have their favourites too. In which row do the seven stop having something in common?

# %% [markdown]
# ## Exercise: how far does a unit see? · medium · 20 min
#
# Where do the 7, 15, 27, 51 and 99 pixels come from? Write a function that works it out. `layers` is a list of
# pairs `(kernel, stride)`, the layer next to the picture first. The answer is the side of the field in pixels.
#
# An example to draw on paper, in one dimension: two kernels of 3 at stride 1 see 5 pixels. If the first has stride 2,
# they see 7. PhotoNet's stem is `(7, 2)`; layer1 adds `(3, 1), (3, 1)`; each later stage adds `(3, 2), (3, 1)`.

# %%
def receptive_field(layers):
    ...  # your code

check("01-field", receptive_field)


# %% jupyter={"source_hidden": true} tags=["solution"]
# Solution
def receptive_field(layers):
    size, step = 1, 1
    for kernel, stride in layers:
        size += (kernel - 1) * step
        step *= stride
    return size

check("01-field", receptive_field, solution=True)

# %% [markdown]
# <a id="places"></a>
#
# ## More examples, and the places kept · 4 min
#
# The core probed averages: they tell how strongly a stage responds, and not where. Here the lower row keeps **places**:
# each map is averaged over the squares of a 4 x 4 grid, which gives a probe sixteen times as many features. Before you
# move the slider: where will the star go when places are kept, up or down? And with more examples?

# %%
from course_utils.lessons import lesson01

tables = {n: [lesson01.stages.probed("stages", n, positions) for positions in (1, 4)]
          for n in (2, 10, 40)}
tasks = {"letters": "letters", "digits": "digits", "textures": "textures"}
widgets.slider(lambda n: lesson01.figures.best_stages(*tables[n], tasks=tasks),
               tables, "examples of each class", start=10)

# %% [markdown]
# <details><summary>The figure in words</summary>
# Two rows of three panels, letters, digits and textures, with five bars each, from the stem at the top to layer4.
# Above, where maps are averaged, the bars for letters and digits grow to layer3, which has the star. Below, with places
# kept, the early bars for letters and digits are much longer and the star stands at layer2. For textures the lower
# bars are shorter than the upper ones. With more examples all bars grow.
# </details>
#
# For letters and digits the upper star stays at layer3, with 2 examples as with 40. With places kept it moves up, to
# layer2 at ten and at forty examples. An early stage knows where things are, which averages throw away; layer4 has
# little of it left. Textures look the same everywhere, so there is no *where* to keep, and so many more features only
# make it harder to learn.
#
# Is the early stage then better than a random one? What trained weights add, in points, with ten of each and places
# kept:

# %%
lesson01.stages.gains(lesson01.stages.probed("stages", positions=4), tasks)

# %% [markdown]
# At the stem they add nothing that is clear even so, and for letters they cost some points. If the stem is universal,
# it is not because of what it learned: random kernels serve a probe as well. From layer1 on training adds much for
# letters and textures.

# %% [markdown]
# <a id="dreaming"></a>
#
# ## Dreaming · 4 min
#
# Photographs answer what excites a channel among things that exist. We can also let it choose freely: begin with
# noise, and change the picture so that the channel's mean activation rises. This is **gradient ascent**: training,
# with the weights fixed and the picture learning.
#
# Done plainly, it gives glaring colours that no photograph has. So a dream is built from waves, the coarse ones
# moving faster. It always has the contrast and colours of photographs, and is moved a little before each
# step ([Olah et al. 2017](https://distill.pub/2017/feature-visualization/)). These are our wishes, not the network's.
# Hence the control: the same network untrained, with the same start and the same 64 steps. The channels are the first
# four.

# %%
from course_utils.lessons import lesson01
from course_utils.lessons.lesson01.feature_visualization import dream

task = load_task("ants_bees", fallback="textures")
trained, untrained = load_model("photonet"), load_model("photonet", pretrained=False)
# An untrained network gets its batch-norm statistics from these pictures.
extract(untrained, task.train.x)
dreams = [{stage: dream(model, stage, range(4))
           for stage in model.stages} for model in (trained, untrained)]
lesson01.figures.dreams(*dreams)

# %% [markdown]
# <details><summary>The figure in words</summary>
# Five rows, stem to layer4, with four dreams of the trained network on the left and four of the untrained one on the
# right. Trained: stripes and two-coloured bands in the stem and in layer1; woven and dotted textures in layer2;
# pebbles, bulbs and a mesh of threads in layer3; curls, spots and eyes with light and shade in layer4. Untrained:
# rough stripes in the first two rows, coloured noise in all rows below.
# </details>
#
# Edges become textures, textures become parts of things. None of it comes from the wishes alone: with random weights
# (one draw of them) the same wishes give rough stripes in the first two stages and noise from layer2 on.
#
# Hold the dreams against the photographs of the first section. Channel 1 of layer3 dreams of round things side by
# side, and coins excite it. The two do not always agree so well: a dream shows what a channel *would* like most, and
# no photograph may ever look so.

# %% [markdown]
# <a id="cka"></a>
#
# ## CKA: do two networks see the same? · 5 min
#
# Train a network twice from different random weights. Feature 7 of the one has nothing to do with feature 7 of the
# other, so the features themselves cannot be compared. But we can compare *which pictures look alike* to each. **CKA**
# (centred kernel alignment, [Kornblith et al. 2019](https://arxiv.org/abs/1905.00414)) does so in one number: 1 if two
# networks find the same pictures alike, 0 if the one tells nothing about the other. Rotating or scaling all features
# changes nothing.
#
# Here is PhotoNet's third stage against its fourth, then against the fourth with the pictures in another order:

# %%
import numpy as np
import pandas as pd
from course_utils import cka

model, pictures = load_model("photonet"), load_task("letters", per_class=1).test.x[::2]
third, fourth = extract(model, pictures, "layer3"), extract(model, pictures, "layer4")
other_order = np.random.default_rng(0).permutation(len(pictures))
print(f"layer3 and layer4: {cka(third, fourth):.2f}, "
      f"in another order: {cka(third, fourth[other_order]):.2f}")

# %% [markdown]
# Before you believe such a number, ask what it is for features that have *nothing* in common. We draw two sets of 256
# random numbers for each picture, independent of each other, and compare them. The plain form of CKA is what the paper
# first gave; the **debiased** one is what `cka` computes unless told otherwise.

# %%
draw = np.random.default_rng(0)
floor = {}
for n in (100, 397, 1000, 2600):
    a, b = draw.normal(size=(n, 256)), draw.normal(size=(n, 256))
    floor[f"{n} pictures"] = {"plain": cka(a, b, debiased=False), "debiased": cka(a, b)}
pd.DataFrame(floor).round(3)

# %% [markdown]
# With 397 pictures, plain CKA says .39 about pure noise. With few pictures there is so much room in 256 dimensions
# that chance alone makes features look related. The cause is the diagonal: each picture is like itself, in both
# networks, and plain CKA counts that as agreement. The debiased form leaves those pairs out ([Nguyen et al.
# 2021](https://arxiv.org/abs/2010.15327)).
#
# How high the floor is depends on the features. PhotoNet's vary mostly in a few directions, and with 397 letters in
# another order plain CKA gives only .03 at layer4. You do not know that beforehand: debias, or shuffle the pictures
# once.

# %% [markdown]
# ## Exercise: how alike are two sets of features? · medium · 24 min
#
# Write the plain form yourself. `a` is N x D1 and `b` is N x D2: features of the same N pictures.
#
# 1. **Centre** both: take from each feature its mean over the pictures.
# 2. Compute ‖aᵀb‖² / (‖aᵀa‖ · ‖bᵀb‖). Here ‖M‖ is the root of the sum of all squared entries of M, which is what
#    `np.linalg.norm(M)` gives, and aᵀb is `a.T @ b`.
#
# The check compares yours with the package's on PhotoNet's features and on made ones.

# %%
import numpy as np


def linear_cka(a, b):
    ...  # your code


check("01-cka", linear_cka)


# %% jupyter={"source_hidden": true} tags=["solution"]
# Solution
def linear_cka(a, b):
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    shared = np.linalg.norm(a.T @ b) ** 2
    return shared / (np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b))


check("01-cka", linear_cka, solution=True)

# %% [markdown]
# <details><summary>What debiasing adds</summary>
#
# ‖aᵀb‖² is also the sum of K·L over all pairs of pictures, where K = a aᵀ and L = b bᵀ say how alike each two pictures
# are to the one network and to the other. The debiased form sets the diagonals of K and L to nought and corrects for
# what centring then gets wrong, by the sums of rows:
#
# sum(K·L) + sum(K) sum(L) / ((N − 1)(N − 2)) − 2 / (N − 2) · sum(rows of K · rows of L)
#
# It takes the place of each of the three norms: of (a, b) above the line, of (a, a) and (b, b) below it, under a root.
# Its mean over many draws is zero for unrelated features, so a single value may lie a little below zero.
# </details>

# %% [markdown]
# <a id="stages"></a>
#
# ## CKA: three comparisons, stage by stage · 8 min
#
# Now three questions. How alike are PhotoNet's own stages? Do two networks, trained from scratch on letters with
# seeds 0 and 1, see the same? And what does fine-tuning change? The pictures for comparing are 1,000 test letters, in
# fonts that no network has trained on. Before you run the cells: at which stage will the two seeds agree least?

# %%
import numpy as np
import pandas as pd
from course_utils import cka

letters = load_task("letters", per_class=200)
pictures = letters.test.x[np.random.default_rng(0).permutation(len(letters.test))[:1000]]
networks = {}
runs = {"seed 0": ("from_scratch", 0), "seed 1": ("from_scratch", 1),
        "after": ("fine_tuning", 0)}
for name, (strategy, seed) in runs.items():
    model = load_model("photonet", 26, pretrained=strategy != "from_scratch", seed=seed)
    fit(model, letters, strategy, lr=3e-3, steps=100, seed=seed, progress=False)
    networks[name] = model
    print(f"{name}: {evaluate(model, letters.test)}")

# %%
from course_utils.lessons import lesson01

def stage_by_stage(a, b, names):
    rows, columns = extract(a, pictures, "all"), extract(b, pictures, "all")
    table = pd.DataFrame({there: {here: cka(rows[here], columns[there]) for here in rows}
                          for there in columns})
    return table.rename_axis(index=names[0], columns=names[1])

photonet = load_model("photonet")
maps = {
    "PhotoNet with itself": stage_by_stage(photonet, photonet, ("PhotoNet", "PhotoNet")),
    "Two seeds, from scratch": stage_by_stage(
        networks["seed 0"], networks["seed 1"], ("seed 0", "seed 1")),
    "Before and after fine-tuning": stage_by_stage(
        photonet, networks["after"], ("before", "after")),
}
lesson01.figures.similarity_maps(maps)

# %% [markdown]
# <details><summary>The figure in words</summary>
# Three square heat maps, five stages by five, with a number from 0 to 1 in each cell, the stem at the lower left. In
# PhotoNet with itself the diagonal is 1 and the numbers fall with the distance between stages, from about .9 for most
# neighbours to .52 for stem and layer4. Between the two seeds the diagonal goes from nearly 1 at the stem down to
# about .65 at layer3 and up again to about .85 at layer4, while stem and layer4 have almost nothing in common. Before
# and after fine-tuning, the diagonal falls from nearly 1 at the stem to about .5 at the last two stages.
# </details>
#
# - **Left.** Each stage changes the view a little: neighbours agree, the ends less.
# - **Middle.** The two seeds share no weight, and still each stage is most like its namesake, or nearly so. The last
#   stages agree more than the ones before them; it is there that both must tell the same 26 letters apart.
# - **Right.** Fine-tuning left the stem almost as it was and changed the late stages most, with one rate for all.
#
# So early layers are universal, whatever the seed? Not so fast. Nearly 1, compared with what? Two networks that were
# *never trained* are the control.

# %%
untrained = [load_model("photonet", 26, pretrained=False, seed=seed) for seed in (0, 1)]
for model in untrained:
    # This sets its batch-norm statistics, from training pictures.
    extract(model, letters.train.x[:1000])
control = stage_by_stage(*untrained, ("seed 0", "seed 1"))
pairs = {"trained, two seeds": maps["Two seeds, from scratch"],
         "untrained, two seeds": control}
diagonals = {name: np.diag(table) for name, table in pairs.items()}
pd.DataFrame(diagonals, control.index.rename("stage")).T.round(2)

# %% [markdown]
# The untrained pair agrees as well at the stem, a little better at the end and far better in the middle. Nothing was
# learned there: the pictures are the same, and random filters keep alike what was alike as pixels. Training took
# these two *apart* in the middle. A high CKA says that two networks see the same. It does not say that they learned
# it.
#
# This is one pair of seeds and one fine-tuned network: points, and no claim. For a claim, you would train ten pairs
# and give an interval.

# %% [markdown]
# <a id="hooks"></a>
#
# ## Forward hooks, and the leak · 9 min
#
# `extract` gives what a stage gives. What if you want a layer *inside* a stage, or your network has no `extract`? For
# that PyTorch has **forward hooks**: a function that you hang on a layer. It is called after each pass through the
# layer, with the layer, what went in and what came out.

# %%
import numpy as np
import pandas as pd
import torch

model = load_model("photonet").eval()
pictures = load_task("textures").test.x[:4]
batch = model.prepare(model.encode(pictures))
caught = []

def catch(layer, inputs, output):
    caught.append(output)

handle = model.stages["layer3"].register_forward_hook(catch)
with torch.no_grad():
    model(batch)
caught[0].shape

# %% [markdown]
# Four pictures, 128 channels, 8 x 8 positions. Is it the same as what `extract` gives? On some chips `extract`
# computes with shorter numbers, so we look at the largest difference, as a share of the largest value.

# %%
theirs = extract(model, pictures, "layer3", pooled=False, device="cpu")
difference = np.abs(caught[0].numpy() - theirs).max() / theirs.max()
print(f"largest difference {difference:.3f}, caught so far: {len(caught)}")

# %% [markdown]
# The same, up to rounding. But look at the second number: we looked once, and there are two entries. `extract` ran the
# layer too, and our hook is still there. It stays until it is removed or the model is gone.
#
# Watch what that costs in a loop with gradients on, as in training. We count two things: the bytes in our list, and
# the bytes that PyTorch keeps so that gradients can flow back. `saved_tensors_hooks` shows us each tensor that it
# saves.

# %%
caught.clear()
saved, rows = {}, []

def note(tensor):
    saved[tensor.data_ptr()] = tensor.nbytes
    return tensor.detach()

with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
    for step in range(1, 21):
        model.run(batch, stop="layer3")  # nobody keeps what it returns
        if step in (1, 5, 10, 20):
            in_list = sum(output.nbytes for output in caught)
            rows.append({"passes": step, "tensors in the list": len(caught),
                         "their MB": in_list / 1e6,
                         "MB kept behind them": sum(saved.values()) / 1e6})
pd.DataFrame(rows).round(1)

# %% [markdown]
# A tensor a pass, and nobody reads them. The list itself looks harmless. But each output remembers how it was
# computed, and so keeps alive what *all* stages before it have computed: about forty times as much, pass after pass.
# After an hour of training, memory is full, and the error names a line that has nothing to do with it. In a notebook
# it is worse: run the cell that registers twice, and two hooks collect.
#
# The cure is the **handle** that `register_forward_hook` returned:

# %%
handle.remove()
caught.clear()  # the list lets go, and so does all that it kept alive
model(batch)
print(f"caught since the hook is gone: {len(caught)}")


# %% [markdown]
# Three habits: remove each hook where you registered it, keep `output.detach()` if you need no gradients, and run
# under `torch.no_grad()` when you only look.

# %% [markdown]
# ## Exercise: look inside and leave no trace · easy · 16 min
#
# Write a function that runs `network` on `batch` and returns **two things**: what the layer called `name` gives, and
# how many hooks are on that layer when you are done, `len(layer._forward_hooks)`. Somebody else may have hung a hook
# there before you; leave it alone. (The underscore says that this is for looking, not for changing.)

# %%
def output_of(network, name, batch):
    ...  # your code; network.get_submodule("stages.layer2.conv1") is a layer inside a stage


check("01-hook", output_of)


# %% jupyter={"source_hidden": true} tags=["solution"]
# Solution
def output_of(network, name, batch):
    layer, caught = network.get_submodule(name), []
    handle = layer.register_forward_hook(
        lambda layer, inputs, output: caught.append(output))
    try:
        network(batch)
    finally:  # also when the network stops with an error
        handle.remove()
    return caught[0], len(layer._forward_hooks)


check("01-hook", output_of, solution=True)

# %% [markdown]
# A handle is a context manager too: `with layer.register_forward_hook(catch):` removes the hook at the end of the
# block, whatever happens in it. For the outputs of several layers at once, torchvision has
# `create_feature_extractor`.

# %% [markdown]
# <a id="borrowed"></a>
#
# ## The classic: borrowed stages · 4 min
#
# In 2014 Yosinski and others cut a data set into two halves of its classes, **A** and **B**, and trained a network on
# each. Then they built new networks for B: the first *n* stages borrowed, the rest from random weights. **AnB**
# borrows from A, **BnB** from B itself, and what is borrowed stays frozen. With a **+**, everything learns on.
#
# Two things can hurt AnB. Stages from A may be too *specific* to A. Or stages that learned together are torn apart,
# and the new ones above do not find back to what the old ones did. Then BnB suffers too, though nothing in it is
# foreign. They called that broken **co-adaptation**, and saw it in the middle of their network.
#
# Here it is in small: two halves of Tiny-ImageNet, 50 classes each, 250 images a class at 32 pixels, 8 epochs,
# PhotoNet's stages. A network takes minutes, so all runs are stored; with the archive of Tiny-ImageNet, `python3 -m
# course_utils recompute yosinski` makes them again. Three pairs of halves: points, and no claim. **Random** is our
# control: its first stages stay as they were drawn. With a + we tried one, three and five stages.

# %%
from course_utils.lessons import lesson01

alone = load_results("yosinski_base").query("half_of == 'B'").accuracy
lesson01.figures.borrowed_stages(load_results("yosinski"), alone)

# %% [markdown]
# <details><summary>The figure in words</summary>
# Two panels, accuracy on half B against the number of borrowed stages, three points each. Left, frozen: random stages
# fall steeply, from .31 with one to .12 with five. Stages from A fall slowly, from .33 to .28. Those from B itself
# fall a little, to about .29. Right, everything learns on: nearly all points lie in or above the grey band of networks
# that borrowed nothing, .27 to .33; one with five stages from B lies below it, at .23.
# </details>
#
# **Where it agrees with their figure 2.** What is borrowed from A and frozen costs more with each stage: .33 with one,
# .28 with all five. Early stages travel well, late ones less. And what is borrowed from A and learns on loses nothing.
#
# **Where not.** They saw a clear dip for BnB in the middle, gone at the end. Ours is shallower than the three pairs
# differ: we cannot see co-adaptation in a network of five stages. They also found that AnB+ ends *above* a network that
# borrowed nothing, as if A were remembered. Ours is hardly above it. And five stages from B itself, trained for another
# 8 epochs, lose: .29 for .31.
#
# **What the control says.** One random, frozen stage costs nothing that we could see (.31, as with a stage from B).
# The core found the same of the stem by probing it. From two stages on, random ones fall behind, and with five a
# borrowed network, though from the wrong half, has more than twice their accuracy. "Specific" is a matter of degree.
