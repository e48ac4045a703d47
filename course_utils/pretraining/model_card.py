"""The model cards of PhotoNet, one a network: written by `pretrain` from what it measured."""

from pathlib import Path

from course_utils.files import replacing

CARD = """# {title}

A residual network for small photographs: a 7x7 stem at stride 2 and four stages of one block each (32, 64,
128 and 256 channels), 1.28 million weights with its head. `course_utils/models/backbones.py` holds
it, `python3 -m course_utils {command}` makes it, and `{command} --evaluate` measures it again.

## How good it is
Top-1 accuracy on the {n_val:,} validation images of the {classes} kept classes:

| picture size | top-1 | standard error |
|---|---|---|
{table}

## How it was trained
- Data: {images:,} training images of Tiny-ImageNet, {classes} classes, 64 x 64 px.
- SGD with Nesterov momentum .9 and batches of {batch}: {epochs} epochs in one cycle up to a rate of {rate},
  then {finish} from {finish_rate} down. Weight decay {decay} on kernels and matrices, label smoothing
  {smoothing}.
- Pictures zoomed, shifted and mirrored at random, of {sizes}; the last fifth of the
  cycle and the end mix 32, 48 and 64 px, since the lessons use all three.
- Batch-norm statistics settled at the end on clean pictures of 64 px. Those kept in training are an average of
  the last few batches, whatever their sizes: measured once, they gave .466 at 64 px where settled ones gave .511.
- {seed_story} {minutes:.0f} minutes on {machine}.
- The file holds kernels and matrices in half precision, and batch-norm scales, shifts and statistics in full.

## What was left out, and why
- The class *bee* (n02206856): about 50 of its pictures are also in the ants-and-bees data of the lessons.
- {dropped} more images that look like a picture of a lesson's task: correlation of grey 16 x 16 thumbnails
  above .95, and from .93 on to be safe. `{stem}_dropped.csv` lists them; most are chance likenesses. A test
  compares again. `flowers102` and `pets` were **not compared**.

## Licence and limits
- Tiny-ImageNet is a subset of ImageNet: photographs from the web, whose owners keep their rights. ImageNet's
  terms allow research and teaching without profit. Only the weights ship here, none of the pictures. Use the
  weights for learning and teaching.
- Not for decisions about people, safety or health, nor as a ready classifier: it is wrong on about half of
  even its own kind of picture. ImageNet shows some places and people far more than others, and so what this
  network has learned does too.

sha256 `{checksum}`
"""


def write(out: Path, measured: dict[int, float], n_val: int, seed: int, facts: dict) -> None:
    """Write the card beside the weights `out`: README.md for seed 0, for another the weights' own name with .md.

    `measured` is picture size (px) -> top-1; `facts` fill the text.
    """
    if seed == 0:
        card, command = out.with_name("README.md"), "pretrain"
        title = "PhotoNet, the backbone that ships with the course"
        story = "One seed, 0, named beforehand; no other was tried."
    else:
        card, command = out.with_suffix(".md"), f"pretrain --seed {seed}"
        title = f"PhotoNet with seed {seed}, to see what the seed does"
        story = f"Seed {seed} draws its first weights, the order and the views of the pictures; the recipe is seed 0's."
    rows = [f"| {size} px | {a:.3f} | {(a * (1 - a) / n_val) ** 0.5:.3f} |" for size, a in measured.items()]
    text = CARD.format(table="\n".join(rows), n_val=n_val, stem=out.stem, title=title, command=command,
                       seed_story=story, **facts)  # fmt: skip
    with replacing(card) as beside:
        beside.write_text(text, encoding="utf-8")
