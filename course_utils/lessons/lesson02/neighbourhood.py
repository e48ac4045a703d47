"""Pictures and those most like them, by whatever they are described with; and maps that keep neighbours together."""

from typing import NamedTuple

import numpy as np
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors

from course_utils.data.tasks import Task
from course_utils.features import extract
from course_utils.models.backbones import Model
from course_utils.threads import share_for_numpy

COUNT = 5  # neighbours of a picture


class Neighbours(NamedTuple):
    """For each test picture the rows of its nearest training pictures (N x 5), and which have its class (N x 5)."""

    rows: np.ndarray
    right: np.ndarray


def neighbours_of(task: Task, model: Model | None = None) -> Neighbours:
    """The five training pictures nearest to each test picture, by a model's pooled features; by its pixels if None."""
    parts = [extract(model, part.x) if model else part.x.reshape(len(part), -1) / 255
             for part in (task.train, task.test)]  # fmt: skip
    rows = NearestNeighbors(n_neighbors=COUNT).fit(parts[0]).kneighbors(parts[1], return_distance=False)
    return Neighbours(rows, task.train.y[rows] == task.test.y[:, None])


def most_ordinary(found: dict[str, Neighbours]) -> int:
    """The test picture whose numbers of right neighbours are closest to the averages over all of them.

    Of equally close ones the first.
    """
    counts = np.stack([one.right.sum(axis=1) for one in found.values()], axis=1)
    return int(np.abs(counts - counts.mean(axis=0)).sum(axis=1).argmin())


def tsne(features: np.ndarray, perplexity: int = 30) -> np.ndarray:
    """N x D features flattened to N x 2 places, with as many threads as this machine has to spare.

    Source: van der Maaten & Hinton 2008, "Visualizing data using t-SNE".
    """
    with share_for_numpy():  # two threads on two busy cores take a hundred times as long as one
        return TSNE(perplexity=perplexity, random_state=0).fit_transform(features)


def neighbour_share(places: np.ndarray, y: np.ndarray, right: np.ndarray) -> float:
    """Of the five left points (N x D places) nearest to each right one, the share that has its class."""
    search = NearestNeighbors(n_neighbors=COUNT).fit(places[~right])
    near = search.kneighbors(places[right], return_distance=False)
    return float((y[~right][near] == y[right][:, None]).mean())
