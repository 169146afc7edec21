"""Weights drawn anew. Truth: the recipes, which know where each weight stands; variances and products on paper."""

import copy
import math

import pytest
import torch
import transformers as hf
from tests.anatomy.families import FAMILIES
from torch import Tensor, nn
from torch.nn import functional

import skipnorm as sn
from skipnorm.networks.activations import CReLU
from skipnorm.networks.vocabulary import RESIDUAL_ORDERS
from skipnorm.surgery.maps import is_map
from skipnorm.surgery.patient import Patient
from skipnorm.surgery.roles import standings_of

SCHEMES = ("he", "glorot", "lecun", "orthogonal", "fixup", "looks_linear")


def redrawn(
    network: nn.Module, inputs: object, scheme: str = "he", **settings: object
) -> nn.Module:
    return sn.operate(network, sn.Reinitialize(scheme=scheme, **settings), inputs=inputs)


@pytest.mark.parametrize(
    ("scheme", "order"),
    [
        *(("fixup", order) for order in RESIDUAL_ORDERS),
        *(("orthogonal", order) for order in (None, "original", "full-preactivation")),
        *(("he", order) for order in (None, "norm-act-weight", "act-before-addition")),
        ("glorot", "original"),
    ],
)
def test_a_canonical_network_is_drawn_as_its_recipe_draws_it(scheme, order):
    kind = sn.Perceptron if scheme == "he" else sn.ConvNet
    settings = {"depth": 2, "width": 6, "inputs": 3, "initializer": scheme}
    recipe = kind(**settings, residual=order is not None, order=order)
    x = torch.randn(2, 3) if kind is sn.Perceptron else torch.randn(2, 3, 5)
    drawn = redrawn(recipe.build(seed=1), x, scheme, seed=7).state_dict()
    for name, expected in recipe.build(seed=7).state_dict().items():
        assert torch.equal(drawn[name], expected), name


def lone(layer: nn.Module) -> nn.Module:
    """The layer behind and before others, so that it is neither stem nor head."""
    return nn.Sequential(nn.Identity(), layer).double()


LAYERS = {
    "linear": (nn.Linear(300, 200), (500, 300)),
    "grouped": (nn.Conv2d(64, 96, 3, groups=4, padding=1, padding_mode="circular"), (8, 64, 8, 8)),
    "depthwise": (
        nn.Conv1d(256, 256, 5, groups=256, padding=2, padding_mode="circular"),
        (8, 256, 30),
    ),
    "transposed": (nn.ConvTranspose2d(64, 48, 4, stride=2, padding=1), (4, 64, 16, 16)),
    "transposed in groups": (nn.ConvTranspose1d(64, 32, 6, stride=3, groups=2), (16, 64, 60)),
    "as in GPT-2": (hf.pytorch_utils.Conv1D(200, 300), (500, 300)),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("scheme", ["lecun", "orthogonal"])
def test_a_layer_keeps_the_variance_of_noise_whatever_its_layout(name, scheme):
    layer, shape = LAYERS[name]
    if scheme == "orthogonal" and name in ("transposed", "transposed in groups", "linear"):
        pytest.skip("rows outnumber columns or are cut by the stride: no row has norm 1")
    network, x = lone(copy.deepcopy(layer)), torch.randn(shape, dtype=torch.float64)
    with torch.no_grad():
        y = redrawn(network, x, scheme, seed=5)(
            x
        )  # not the seed of the inputs, whose numbers these would be
    if y.dim() > 2:
        y = y[..., 6:-6] if "transposed" in name else y
        y = y[..., 6:-6, :] if "transposed" in name and y.dim() == 4 else y
    assert float(y.square().mean()) == pytest.approx(1, rel=0.06)


def test_glorot_bounds_a_transposed_convolution_by_the_inputs_that_reach_an_output():
    layer = nn.ConvTranspose2d(8, 4, 4, stride=2)
    weight = redrawn(lone(layer), torch.randn(1, 8, 5, 5).double(), "glorot")[1].weight.detach()
    bound = math.sqrt(6 / (8 * 16 / 4 + 4 * 16))
    assert 0.98 * bound < float(weight.abs().max()) <= bound


def test_orthogonal_groups_are_orthogonal_each():
    network = lone(nn.Conv1d(8, 8, 3, groups=2))
    weight = redrawn(network, torch.randn(1, 8, 9).double(), "orthogonal")[1].weight
    for group in weight.flatten(1).chunk(2):
        assert torch.allclose(group @ group.T, torch.eye(4).double(), atol=1e-12)


class Block(nn.Module):
    """A residual block with `layers` convolutions, and perhaps a projection on its shortcut."""

    def __init__(self, width: int, layers: int = 2, *, projected: bool = False) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv1d(width, width, 3, padding=1) for _ in range(layers))
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(layers))
        self.project = nn.Conv1d(width, width, 1) if projected else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for conv, norm in zip(self.convs, self.norms, strict=True):
            y = conv(functional.relu(norm(y)))
        return self.project(x) + y


def residual(layers: int = 2) -> nn.Module:
    body = [Block(16, layers), Block(16, layers, projected=True), Block(16, layers)]
    ends = nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(16, 5)
    return nn.Sequential(nn.Conv1d(2, 16, 3), *body, *ends)


@pytest.mark.parametrize("layers", [2, 3])
def test_fixup_scales_by_depth_and_silences_the_ends(layers):
    network, x = residual(layers), torch.randn(3, 2, 9)
    fixed = redrawn(network, x, "fixup")
    assert not fixed[6].weight.any()
    assert not any(fixed[at].convs[-1].weight.any() for at in (1, 2, 3))
    assert all(fixed[at].convs[0].weight.any() for at in (1, 2, 3))
    for path, factor in (("1.convs.0", 3 ** (-1 / (2 * layers - 2))), ("2.project", 1)):
        one, two = (
            redrawn(network, x, scheme, where=path).get_submodule(path).weight
            for scheme in ("fixup", "he")
        )
        assert torch.allclose(one, two * factor, rtol=1e-6)


def test_he_gives_every_weight_inside_two_over_fan_in():
    network = nn.Sequential(
        nn.Linear(400, 400), nn.ReLU(), nn.Linear(400, 400), nn.ReLU(), nn.Linear(400, 400)
    )
    drawn = redrawn(network, torch.randn(2, 400))
    spreads = [float(drawn[at].weight.detach().var() * 400) for at in (0, 2, 4)]
    assert spreads == pytest.approx(
        [1, 2, 1], rel=0.03
    )  # stem and head have no rectifier to make up for


def test_norms_become_new_and_biases_zero():
    network, x = residual(), torch.randn(3, 2, 9)
    network(x)
    for parameter in network.parameters():
        nn.init.normal_(parameter)
    drawn = redrawn(network, x)
    for module in drawn.modules():
        if isinstance(module, nn.BatchNorm1d):
            assert bool((module.weight == 1).all())
            assert bool((module.running_mean == 0).all() and (module.running_var == 1).all())
        if getattr(module, "bias", None) is not None:
            assert not module.bias.any()


@pytest.mark.parametrize(("family", "value"), [("llama", 1), ("gemma", 0)])
def test_a_scale_of_one_is_known_by_what_the_norm_does(family, value):
    kinds = {"llama": (hf.LlamaConfig, hf.LlamaModel), "gemma": (hf.GemmaConfig, hf.GemmaModel)}
    config, model = kinds[family]
    network = model(
        config(num_hidden_layers=1, hidden_size=8, intermediate_size=8, num_attention_heads=2,
               num_key_value_heads=2, head_dim=4, vocab_size=20, pad_token_id=0,
               bos_token_id=1, eos_token_id=2)
    )  # fmt: skip
    nn.init.normal_(network.norm.weight)
    drawn = redrawn(network, torch.randint(3, 20, (2, 5)))
    assert bool((drawn.norm.weight == value).all())  # Gemma multiplies by 1 + weight


def test_attention_projections_are_drawn_each_for_itself():
    network = nn.TransformerEncoderLayer(64, 4, 64, batch_first=True, dropout=0)
    drawn = redrawn(network, torch.randn(2, 5, 64), "orthogonal").self_attn
    for matrix in (*drawn.in_proj_weight.chunk(3), drawn.out_proj.weight):
        square = matrix @ matrix.T
        assert torch.allclose(square, square[0, 0] * torch.eye(64), atol=1e-5)
    fixed = redrawn(network, torch.randn(2, 5, 64), "fixup")
    assert not fixed.self_attn.out_proj.weight.any()
    assert not fixed.linear2.weight.any()
    assert fixed.self_attn.in_proj_weight.any()


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.inner, self.head = nn.Embedding(9, 4), nn.Linear(4, 4), nn.Linear(4, 9)
        self.head.weight = self.table.weight

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.inner(self.table(ids)))


def test_a_weight_that_an_embedding_shares_stays():
    network = Tied()
    drawn = redrawn(network, torch.randint(9, (2, 3)))
    assert torch.equal(drawn.head.weight, network.head.weight)
    assert drawn.head.weight is drawn.table.weight
    assert not torch.equal(drawn.inner.weight, network.inner.weight)


@pytest.mark.parametrize("scheme", SCHEMES[:5])
def test_the_patient_and_the_random_state_stay_and_twice_is_once(scheme):
    network, x = residual(), torch.randn(3, 2, 9)
    before, state = copy.deepcopy(network.state_dict()), torch.get_rng_state()
    once, twice = redrawn(network, x, scheme, seed=3), None
    twice = redrawn(once, x, scheme, seed=3)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    for one, two in zip(once.parameters(), twice.parameters(), strict=True):
        assert torch.equal(one, two)
    other = redrawn(network, x, scheme, seed=4)
    assert not torch.equal(other[0].weight, once[0].weight)


def plain() -> tuple[nn.Module, Tensor]:
    return sn.Perceptron(depth=4, width=6, inputs=6, outputs=6).build(
        0, dtype=torch.float64
    ), torch.randn(5, 6)


def preactivated() -> tuple[nn.Module, Tensor]:
    recipe = sn.ConvNet(
        depth=2, width=6, inputs=3, residual=True, dims=2, order="full-preactivation"
    )
    return recipe.build(0), torch.randn(2, 3, 6, 6)


def concatenated() -> tuple[nn.Module, Tensor]:
    recipe = sn.ConvNet(depth=2, width=6, inputs=3, residual=True, activation="crelu")
    return recipe.build(0), torch.randn(2, 3, 6)


class Written(nn.Module):
    """Functional ReLUs, one shared module, pooling by the mean, a flattened map in front of the head."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 6, 3, stride=2)
        self.three, self.relu = nn.Conv2d(6, 6, 1), nn.ReLU()
        self.head = nn.Linear(6 * 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.two(functional.relu(self.one(x)))
        x = self.relu(self.three(self.relu(x)))
        return self.head(functional.avg_pool2d(x, 1).flatten(1))


def written() -> tuple[nn.Module, Tensor]:
    return Written(), torch.randn(3, 2, 7, 7)


def of_tokens() -> tuple[nn.Module, Tensor]:
    return nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)), torch.randn(2, 7, 4)


@pytest.mark.parametrize("make", [plain, preactivated, concatenated, written, of_tokens])
def test_a_network_that_looks_linear_is_linear(make):
    network, x = make()
    network, x = network.double(), x.double()
    bent = copy.deepcopy(network)
    linear = redrawn(network, x, "looks_linear")
    y, constant = torch.randn_like(x), linear(torch.zeros_like(x))
    both = linear(2 * x - 3 * y)
    assert torch.allclose(both, 2 * linear(x) - 3 * linear(y), atol=1e-12)
    assert not constant.any()  # no bias: not even affine
    assert not torch.allclose(bent(2 * x - 3 * y), 2 * bent(x) - 3 * bent(y), atol=1e-3)
    loss = linear(x).square().mean()
    loss.backward()
    assert all(each.grad is not None for each in linear.parameters())


def test_square_layers_that_look_linear_keep_every_length():
    network, x = plain()
    linear = redrawn(network, x.double(), "looks_linear")
    y = linear(x.double())
    assert torch.allclose(
        y.norm(dim=1), x.double().norm(dim=1), rtol=1e-10
    )  # a product of rotations


@pytest.mark.parametrize("make", [plain, preactivated, written, of_tokens])
def test_a_checkpoint_of_the_original_brings_its_function_back(make):
    network, x = make()
    network, x = network.double(), x.double()
    linear = redrawn(network, x, "looks_linear")
    linear.load_state_dict(network.state_dict())
    assert torch.allclose(linear(x), network(x), atol=1e-12)
    again = copy.deepcopy(linear)
    again.load_state_dict(linear.state_dict())
    assert torch.equal(again(x), linear(x))


def test_what_looks_linear_replaces():
    network, x = written()
    linear = redrawn(network, x, "looks_linear")
    assert isinstance(linear.relu, CReLU)
    assert (linear.two.in_channels, linear.head.in_features) == (8, 48)
    assert torch.equal(linear.two.weight[:, 4:], -linear.two.weight[:, :4])


REFUSED = {
    "a norm": (
        lambda: nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.LayerNorm(4), nn.Linear(4, 4)),
        r"at 1: .*goes to 2",
    ),
    "another activation": (
        lambda: nn.Sequential(nn.Linear(4, 4), nn.GELU(), nn.Linear(4, 4)),
        r"at 2: .*gelu at 1",
    ),
    "an end": (
        lambda: nn.Sequential(nn.Linear(4, 4), nn.ReLU()),
        "expected a network that is linear",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_looks_linear_refuses_what_would_not_be(name):
    make, words = REFUSED[name]
    with pytest.raises(sn.SurgeryError, match=words):
        redrawn(make(), torch.randn(2, 4), "looks_linear")


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([nn.Conv1d(4, 4, 1), nn.ReLU(), nn.Conv1d(4, 4, 1, groups=2)], "at 2: .*in 2 groups"),
        ([nn.Conv1d(4, 4, 1), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(4, 4, 1)], "max pooling"),
    ],
)
def test_looks_linear_refuses_maps_that_cannot_be_mirrored(layers, words):
    with pytest.raises(sn.SurgeryError, match=words):
        redrawn(nn.Sequential(*layers), torch.randn(2, 4, 6), "looks_linear")


def test_looks_linear_refuses_a_relu_on_a_shortcut():
    recipe = sn.Perceptron(residual=True, order="original", depth=2, width=6, inputs=6)
    with pytest.raises(sn.SurgeryError, match=r"blocks.0.act2: .*blocks.1.add"):
        redrawn(recipe.build(0), torch.randn(2, 6), "looks_linear")


def test_refusals_say_where_and_why():
    with pytest.raises(sn.SurgeryError, match="Did you mean 'he'"):
        sn.Reinitialize(scheme="hee")
    with pytest.raises(sn.SurgeryError, match="residual branches"):
        redrawn(*of_tokens(), "fixup")
    computed = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)))
    with pytest.raises(sn.SurgeryError, match=r"at 0: .*computed from others"):
        redrawn(computed, torch.randn(2, 4))
    with pytest.raises(sn.SurgeryError, match="found 2"):
        redrawn(*of_tokens(), expect=3)


THIRD = (
    "bert vit gpt2 llama t5 resnet_basic convnext mobilenet_v2 regnet_x albert gpt_neox whisper poolformer "
    "bit_preactivation"
).split()


@pytest.mark.parametrize("make", [each for each in FAMILIES if each.__name__ in THIRD])
def test_third_party_families_are_drawn_whole(make):
    """Truth: torch's own forward hooks say which maps run."""
    case = make()
    network = case.network
    ran: set[str] = set()
    watched = copy.deepcopy(network)
    for path, module in watched.named_modules():
        module.register_forward_hook(lambda *_, path=path: ran.add(path))
    with torch.no_grad():
        watched(*case.args, **case.kwargs)
    tables = {id(each.weight) for each in network.modules() if isinstance(each, nn.Embedding)}
    wanted = {
        path
        for path in ran
        if is_map(network.get_submodule(path))
        and id(network.get_submodule(path)._parameters.get("weight")) not in tables
        and "weight" in network.get_submodule(path)._parameters
    }
    inputs = {network.main_input_name: case.args[0], **case.kwargs} if case.args else case.kwargs
    drawn = redrawn(network, inputs, where=lambda site: site.name in wanted)
    (done,) = sn.operations_of(drawn)
    assert set(done.sites) == wanted
    for path in wanted:
        old, new = network.get_submodule(path), drawn.get_submodule(path)
        assert not torch.equal(old.weight, new.weight)
        assert new.bias is None or not new.bias.any()
    drawn.load_state_dict(network.state_dict())


class Biased(nn.Module):
    """A bias that a small network makes of positions, as Swin V2's; the signal does not pass it."""

    def __init__(self) -> None:
        super().__init__()
        self.of_positions, self.stem, self.head = nn.Linear(2, 4), nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.stem(x) + self.of_positions(torch.ones(2))))


def test_a_map_that_the_signal_does_not_pass_is_no_head():
    weights = standings_of(Patient(Biased(), (torch.randn(3, 4),), {})).weights
    roles = {path: each.role for path, each in weights.items()}
    assert roles == {"stem": "stem", "of_positions": "inner", "head": "head"}
