"""Models: stages compose to the library's own network, weights load with their checks, heads and controls."""

import functools
import hashlib
import http.server
import socket
import threading

import numpy as np
import pytest
import safetensors.torch
import torch
import torchvision.models
from safetensors import safe_open
from toys import refused

from course_utils.errors import CourseError, ModelUnavailable
from course_utils.models import libraries
from course_utils.models.backbones import PhotoNet
from course_utils.models.loading import PHOTONETS, WEIGHTS, _checksum, load_model


def pictures(n=2, size=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 3, size, size), dtype=np.uint8)


def composed(model, x):
    """The head on the pooled output of the stages, run one at a time."""
    h = x
    for stage in model.stages.values():
        h = stage(h)
    return model.head(model.pool(h))


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "mobilenet_v3_small"])
def test_torchvision_stages_equal_the_librarys_forward_pass(name):
    model = load_model(name, pretrained=False, seed=3).eval()
    torch.manual_seed(3)
    own = getattr(torchvision.models, name)().eval()
    x = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(composed(model, x), own(x), rtol=1e-4, atol=1e-4)
    assert list(model.stages) == ["stem", "layer1", "layer2", "layer3", "layer4"]
    assert len(model.classes) == 1000


@pytest.mark.parametrize("name", ["resnet10t", "vit_tiny_patch16_224", "mobilenetv3_small_050"])
def test_timm_stage_equals_the_librarys_forward_pass(name, capsys):
    import timm

    model = load_model(f"timm:{name}", pretrained=False, seed=3).eval()
    assert "one stage" in capsys.readouterr().out
    torch.manual_seed(3)
    own = timm.create_model(name).eval()
    x = torch.randn(1, 3, model.native_size, model.native_size)
    with torch.no_grad():
        torch.testing.assert_close(composed(model, x), own(x), rtol=1e-4, atol=1e-4)


def test_photonet_runs_in_parts():
    model = load_model("photonet").eval()
    x = model.prepare(model.encode(pictures()))
    with torch.no_grad():
        part = model.run(model.run(x, stop="layer2"), start="layer3")
        assert torch.equal(model.run(x), part)
        torch.testing.assert_close(composed(model, x), model(x))


@pytest.mark.parametrize("size", [32, 48, 64, 96])
def test_photonet_takes_pictures_of_32_px_and_more(size):
    model = load_model("photonet", num_classes=3).eval()
    assert model(model.prepare(model.encode(pictures(size=size)))).shape == (2, 3)


def test_small_pictures_are_enlarged_once():
    model = load_model("photonet", num_classes=3)
    assert model.encode(pictures(size=25)).shape == (2, 3, 32, 32)
    assert load_model("resnet18", num_classes=2, pretrained=False).encode(pictures()).shape == (2, 3, 224, 224)


def test_the_statistics_are_the_models_own():
    white = torch.full((1, 3, 32, 32), 255, dtype=torch.uint8)
    photonet, resnet = load_model("photonet"), load_model("resnet18", pretrained=False)
    assert not torch.allclose(photonet.prepare(white), resnet.prepare(white))
    mean, std = libraries.IMAGENET_STATISTICS
    expected = torch.tensor([(1 - m) / s for m, s in zip(mean, std, strict=True)])
    torch.testing.assert_close(resnet.prepare(white)[0, :, 0, 0], expected)


def test_a_seed_fixes_head_and_weights():
    first, again, other = (load_model("photonet", 5, seed=s) for s in (1, 1, 2))
    assert torch.equal(first.head.weight, again.head.weight)
    assert not torch.equal(first.head.weight, other.head.weight)
    control = load_model("photonet", 5, pretrained=False, seed=1)
    assert torch.equal(control.head.weight, first.head.weight)
    stem = "stages.stem.0.weight"
    assert not torch.equal(control.state_dict()[stem], first.state_dict()[stem])


def test_the_source_head_names_its_classes():
    model = load_model("photonet")
    assert model.head.out_features == len(model.classes) == 199
    assert "bee" not in model.classes


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("photonett", "photonet"), ("timm:resnet18x", "timm has no model"), ("resnet", "resnet18"),
        (None, "no model None"), (3, "no model 3"), (["photonet"], "no model"),
    ],
)  # fmt: skip
def test_an_unknown_model_names_those_there_are(name, words):
    with pytest.raises(CourseError, match=words) as caught:
        load_model(name)
    assert len(str(caught.value).splitlines()) <= 3


def test_bad_pictures_and_stages_are_refused():
    model = load_model("photonet", num_classes=2)
    with pytest.raises(CourseError, match="leading axis"):
        model.encode(pictures()[0])
    with pytest.raises(CourseError, match="float"):
        model.encode(pictures().astype("float32"))
    with pytest.raises(CourseError, match="layer4"):
        model.run(torch.zeros(1, 3, 32, 32), stop="layer9")
    with pytest.raises(CourseError, match="from 2 up"):
        load_model("photonet", num_classes=1)


def with_a_flipped_bit(content):
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 64]) + content[place + 1 :]


def with_nan(content):
    """A block of the last tensor becomes NaN."""
    tensors = safetensors.torch.load(content)
    name = max(tensors, key=lambda key: tensors[key].numel())
    tensors[name][:2] = float("nan")
    return saved(tensors)


def saved(tensors):
    with safe_open(WEIGHTS, framework="pt") as file:
        return safetensors.torch.save(tensors, file.metadata())


def without_a_tensor(content):
    return saved({k: t for k, t in safetensors.torch.load(content).items() if k != "stages.layer2.conv1.weight"})


def with_another_shape(content):
    tensors = safetensors.torch.load(content)
    return saved(tensors | {"stages.layer2.conv1.weight": torch.zeros(64, 32, 5, 5)})


DAMAGES = {  # what became of the file; whether its card was written for it; what is said
    "gone": (lambda content: None, False, "No such file"),
    "no weights at all": (lambda content: b"not weights", True, "SafetensorError"),
    "cut off": (lambda content: content[:5000], False, "its card, README.md"),
    "a flipped bit": (with_a_flipped_bit, False, "checksum is not the one on its card"),
    "a block of NaN": (with_nan, False, "checksum is not the one on its card"),
    "a tensor is missing": (without_a_tensor, True, "Missing key"),
    "a tensor of another shape": (with_another_shape, True, "size mismatch"),
    "no card": (lambda content: content, None, "README.md"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_missing_or_damaged_weights_say_how_to_mend(tmp_path, monkeypatch, damage):
    change, card, words = DAMAGES[damage]
    file, content = tmp_path / "photonet.safetensors", change(WEIGHTS.read_bytes())
    if content is not None:
        file.write_bytes(content)
    if card is not None:
        described = content if card else WEIGHTS.read_bytes()
        (tmp_path / "README.md").write_text(hashlib.sha256(described).hexdigest())
    monkeypatch.setattr("course_utils.models.loading.WEIGHTS", file)
    for pretrained in (True, False):
        if pretrained or not card:  # the control takes nothing but the names of the classes from the file
            with pytest.raises(ModelUnavailable, match=words) as caught:
                load_model("photonet", pretrained=pretrained)
            said = str(caught.value)
            assert len(said.splitlines()) == 2 and "`git checkout -- data/weights`" in said and len(said) < 500


def test_the_checksum_is_worked_out_once_and_again_when_the_file_changes(tmp_path, monkeypatch):
    for name in ("photonet.safetensors", "README.md"):
        (tmp_path / name).write_bytes(WEIGHTS.with_name(name).read_bytes())
    monkeypatch.setattr("course_utils.models.loading.WEIGHTS", tmp_path / "photonet.safetensors")
    before = _checksum.cache_info().misses
    load_model("photonet")
    load_model("photonet", 3)
    assert _checksum.cache_info().misses == before + 1
    (tmp_path / "photonet.safetensors").write_bytes(with_a_flipped_bit(WEIGHTS.read_bytes()))
    with pytest.raises(ModelUnavailable, match="damaged"):
        load_model("photonet")


def test_weights_fit_the_promise():
    assert WEIGHTS.stat().st_size < 6e6
    assert hashlib.sha256(WEIGHTS.read_bytes()).hexdigest() in (WEIGHTS.parent / "README.md").read_text("utf-8")


@pytest.mark.parametrize("name", PHOTONETS)
def test_each_network_that_ships_is_what_its_card_says(name):
    weights = WEIGHTS.with_name(f"{name}.safetensors")
    card = weights.with_suffix(".md") if name != "photonet" else WEIGHTS.with_name("README.md")
    assert hashlib.sha256(weights.read_bytes()).hexdigest() in card.read_text(encoding="utf-8")
    model = load_model(name)
    assert model.name == name and model.classes == load_model("photonet").classes


def test_networks_of_other_seeds_have_other_weights():
    kernels = [load_model(name).stages["layer3"].conv1.weight for name in PHOTONETS]
    assert not any(torch.equal(a, b) for k, a in enumerate(kernels) for b in kernels[k + 1 :])


@pytest.mark.parametrize("asked", [31, 0, -3, 32.5, "64"])
def test_pictures_of_an_impossible_size_are_refused(asked):
    with pytest.raises(CourseError, match="from 32 up"):
        load_model("photonet", 2, image_size=asked)


def test_photonet_may_be_asked_for_a_size():
    model = load_model("photonet", 2, image_size=48)
    assert model.encode(pictures(size=64)).shape[2:] == (48, 48)


# --- real loading code against a local file server that stands in for torchvision's address ---


class Handler(http.server.SimpleHTTPRequestHandler):
    cut_off = False

    def log_message(self, *args):
        pass

    def copyfile(self, source, output):
        """The body; half of it, after a header that promised all, when `cut_off`."""
        content = source.read()
        output.write(content[: len(content) // 2] if self.cut_off else content)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A folder served on loopback, an empty torch cache, and a function that points ResNet-18 at a file."""
    folder = tmp_path / "served"
    folder.mkdir()
    site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
    threading.Thread(target=site.serve_forever, daemon=True).start()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    weights = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.value

    def offer(content: bytes, digest: str | None = None) -> None:
        name = f"resnet18-{(digest or hashlib.sha256(content).hexdigest())[:8]}.pth"
        (folder / name).write_bytes(content)
        monkeypatch.setattr(weights, "url", f"http://127.0.0.1:{site.server_port}/{name}")

    yield offer, site
    site.shutdown()
    site.server_close()


@pytest.fixture(scope="module")
def good_file(tmp_path_factory):
    torch.manual_seed(11)
    path = tmp_path_factory.mktemp("resnet") / "state.pth"
    torch.save(torchvision.models.resnet18().state_dict(), path)
    return path.read_bytes()


def test_resnet18_loads_through_torchvision(server, good_file):
    offer, _ = server
    offer(good_file)
    model = load_model("resnet18", num_classes=4)
    torch.manual_seed(11)
    expected = torchvision.models.resnet18().conv1.weight
    assert torch.equal(model.stages["stem"][0].weight, expected)


@pytest.mark.parametrize("trouble", ["wrong checksum", "cut off"])
def test_a_bad_download_is_refused_and_leaves_nothing(server, good_file, trouble, tmp_path, monkeypatch):
    offer, _ = server
    offer(good_file, digest="0" * 8 if trouble == "wrong checksum" else None)
    monkeypatch.setattr(Handler, "cut_off", trouble == "cut off")
    with pytest.raises(ModelUnavailable, match="damaged") as caught:
        load_model("resnet18")
    assert len(str(caught.value).splitlines()) <= 3
    assert not list((tmp_path / "torch" / "hub" / "checkpoints").iterdir())


def test_no_server_says_so_and_names_what_ships(server, good_file):
    offer, site = server
    offer(good_file)
    site.shutdown()
    site.server_close()
    with pytest.raises(ModelUnavailable, match="photonet"):
        load_model("resnet18")


def test_a_network_that_swallows_requests_is_given_up(server, good_file, monkeypatch):
    offer, _ = server
    offer(good_file)
    monkeypatch.setattr("course_utils.data.downloads.TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        weights = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.value
        monkeypatch.setattr(weights, "url", f"http://127.0.0.1:{silent.getsockname()[1]}/resnet18-00000000.pth")
        with pytest.raises(ModelUnavailable, match="does not answer"):
            load_model("resnet18")


def test_a_hub_that_swallows_requests_is_given_up_before_its_client_asks_again(monkeypatch):
    import timm

    asked = []
    monkeypatch.setattr("course_utils.data.downloads.TIMEOUT", 0.2)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda name, file: None)
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: pytest.fail("it waits for long, without a word"))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        site = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr("huggingface_hub.hf_hub_url", lambda name, file: asked.append(name) or f"{site}/{file}")
        refused(lambda: load_model("timm:resnet18"), "timm's resnet18 could not be loaded .*did not send it")
    assert asked == [timm.get_pretrained_cfg("resnet18").hf_hub_id] and asked[0].startswith("timm/resnet18.")


def test_a_damaged_file_in_the_cache_is_named_and_fetched_again(server, good_file, tmp_path, capsys):
    offer, _ = server
    offer(good_file)
    load_model("resnet18")
    (cached,) = (tmp_path / "torch" / "hub" / "checkpoints").iterdir()
    cached.write_bytes(good_file[:1000])
    assert "removed" not in capsys.readouterr().out
    load_model("resnet18")
    assert f"{cached} does not match the checksum in its name, so it is removed" in capsys.readouterr().out
    assert cached.read_bytes() == good_file


def test_a_pickle_in_place_of_weights_is_refused(server, tmp_path):
    import pickle

    offer, _ = server
    marker = tmp_path / "ran"
    payload = pickle.dumps(functools.partial(marker.touch))
    offer(payload)
    with pytest.raises(ModelUnavailable):
        load_model("resnet18")
    assert not marker.exists()


def test_photonet_has_the_sizes_of_its_card():
    assert sum(p.numel() for p in PhotoNet().parameters()) == 1_230_240
