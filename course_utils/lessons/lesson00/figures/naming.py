"""A photograph with what a network calls it."""

import numpy as np
from matplotlib.figure import Figure

from course_utils.errors import CourseError
from course_utils.models.backbones import Model
from course_utils.plots.images import cut_name, show_picture
from course_utils.plots.style import Drawing, look, say, styled
from course_utils.training.evaluation import inference


@styled
def named(model: Model, picture: np.ndarray) -> Figure:
    """A photograph (uint8 3 x H x W), and the three things that the network finds likeliest, as bars.

    Raises:
        CourseError: the network has no names for what it finds.
    """
    if model.head is None or not model.classes:
        raise CourseError(
            f"{model.name} has no names for what it finds.\n"
            "Expected a network with a trained head, such as load_model('photonet') without num_classes."
        )
    with inference(model):
        likely = model(model.prepare(model.encode(picture[None]))).softmax(1)[0]
    shares, places = likely.topk(min(3, len(likely)))
    names = [cut_name(model.classes[place], 24) for place in places.tolist()]
    figure = Drawing(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.5))
    show_picture(left, picture)
    left.axis("off")
    right.barh(names[::-1], 100 * shares.numpy()[::-1], color=look("feature_extraction").line, height=0.55)
    right.set(xlim=(0, 100), xlabel="how sure the network is (%)")
    right.set_title(f"The network says: {names[0]}")
    right.grid(visible=False, axis="y")
    told = ", ".join(f"{name} {100 * share:.0f} %" for name, share in zip(names, shares.tolist(), strict=True))
    return say(figure, f"A photograph, and what the network calls it: {told}.")
