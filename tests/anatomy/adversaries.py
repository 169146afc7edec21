"""Hand-written networks that try to mislead an anatomy, each with an answer known from its text.

Every case is a small program: `Written(program, **parts)` is a network that runs `program(net, x)`
with its parts as submodules, parameters and buffers. What each must show is written beside it.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from tests.anatomy.families import Case, Truth
from torch import Tensor, nn
from torch.nn import functional as F

Program = Callable[..., Any]
WIDTH = 8


class Written(nn.Module):
    """A network that runs a program on itself and its inputs."""

    def __init__(self, program: Program, **parts: object) -> None:
        super().__init__()
        self.program = program
        for name, part in parts.items():
            if isinstance(part, Tensor) and not isinstance(part, nn.Parameter):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.program(self, *args, **kwargs)


def vector(rows: int = 4) -> Tensor:
    return torch.randn(rows, WIDTH)


def image(size: int = 8) -> Tensor:
    return torch.randn(2, 4, size, size)


def linear() -> nn.Linear:
    return nn.Linear(WIDTH, WIDTH)


def conv(kernel: int = 3, width: int = 4, **more: Any) -> nn.Conv2d:
    return nn.Conv2d(4, width, kernel, padding=kernel // 2, **more)


def mlp() -> nn.Sequential:
    return nn.Sequential(linear(), nn.ReLU(), linear())


def on_vectors(program: Program, truth: Truth, **parts: object) -> Case:
    return Case(Written(program, **parts), truth, (vector(),))


def on_images(program: Program, truth: Truth, **parts: object) -> Case:
    return Case(Written(program, **parts), truth, (image(),))


CASES: dict[str, Callable[[], Case]] = {}


def case(build: Callable[[], Case]) -> Callable[[], Case]:
    CASES[build.__name__] = build
    return build


def none(activations: int = 0, **more: Any) -> Truth:
    return Truth(**{"norms": {}, "activations": activations, **more})


# How a sum can be spelled -------------------------------------------------------------------------
# In each the branch is a two-layer perceptron with one ReLU: one identity skip, one activation.


def statement(y: Tensor, x: Tensor) -> Tensor:
    y.add_(x)
    return y


def written_out(x: Tensor, y: Tensor) -> Tensor:
    out = torch.empty_like(x)
    with torch.no_grad():  # torch refuses out= where a gradient is wanted
        torch.add(x, y, out=out)
    return out


def through_a_view(x: Tensor, y: Tensor) -> Tensor:
    y[:, :4] += x[:, :4]
    return y


SPELLINGS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "plus": lambda x, y: x + y,
    "plus_swapped": lambda x, y: y + x,
    "iadd": lambda x, y: y.__iadd__(x),
    "iadd_to_the_stream": lambda x, y: x.__iadd__(y),
    "statement": lambda x, y: statement(y, x),
    "statement_to_the_stream": lambda x, y: statement(x, y),
    "through_a_view": through_a_view,
    "method": lambda x, y: x.add(y, alpha=0.5),
    "torch_add": lambda x, y: torch.add(x, y, alpha=2),
    "torch_add_keywords": lambda x, y: torch.add(input=x, other=y, alpha=0.5),
    "torch_add_out": written_out,
    "sub": lambda x, y: x - y,
    "sub_swapped": lambda x, y: y - x,
    "sub_in_place": lambda x, y: y.sub_(x),
    "torch_sub_keywords": lambda x, y: torch.sub(input=x, other=y),
    "lerp": lambda x, y: torch.lerp(x, y, 0.3),
    "lerp_in_place": lambda x, y: x.lerp_(y, 0.3),
    "addcmul": lambda x, y: torch.addcmul(x, y, torch.full_like(y, 0.5)),
    "stack_sum": lambda x, y: torch.stack([x, y]).sum(0),
    "stack_sum_last": lambda x, y: torch.sum(torch.stack((x, y), dim=-1), dim=-1),
    "python_sum": lambda x, y: sum([x, y]),
    "scaled": lambda x, y: 0.7 * x + 0.3 * y,
    "divided": lambda x, y: (x + y) / math.sqrt(2),
    "cast": lambda x, y: (x.double() + y.double()).float(),
}


def spelled(name: str) -> Case:
    def program(net: Written, x: Tensor) -> Tensor:
        x = net.stem(x)
        return net.head(SPELLINGS[name](x, net.branch(x)))

    return on_vectors(program, none(1, identity=1), stem=linear(), branch=mlp(), head=linear())


# Shortcut and branch ------------------------------------------------------------------------------


@case
def in_place_block() -> Case:
    def program(net: Written, x: Tensor) -> Tensor:
        x = net.stem(x)
        y = net.bn2(net.conv2(net.relu(net.bn1(net.conv1(x)))))
        y += x
        return net.relu(y)  # the same in-place module twice

    parts = {"stem": conv(), "conv1": conv(), "conv2": conv(), "relu": nn.ReLU(inplace=True)}
    norms = {"bn1": nn.BatchNorm2d(4), "bn2": nn.BatchNorm2d(4)}
    return on_images(program, Truth({"batch": 2}, 2, identity=1), **parts, **norms)


@case
def out_of_place_block() -> Case:
    def program(net: Written, x: Tensor) -> Tensor:
        x = net.stem(x)
        y = net.bn2(net.conv2(net.relu(net.bn1(net.conv1(x)))))
        return net.relu(x + y)

    parts = {"stem": conv(), "conv1": conv(), "conv2": conv(), "relu": nn.ReLU()}
    norms = {"bn1": nn.BatchNorm2d(4), "bn2": nn.BatchNorm2d(4)}
    return on_images(program, Truth({"batch": 2}, 2, identity=1), **parts, **norms)


@case
def in_place_chain() -> Case:
    """Every value of the stream lives in one and the same tensor."""

    def program(net: Written, x: Tensor) -> Tensor:
        x = net.stem(x)
        for branch in net.branches:
            x += branch(x)
            x.relu_()
        return x

    parts = {"stem": linear(), "branches": nn.ModuleList([mlp(), mlp(), mlp()])}
    return on_vectors(program, none(6, identity=3), **parts)


@case
def three_summands() -> Case:
    """x + f(x) + g(x): the stream is joined by a branch twice."""

    def program(net: Written, x: Tensor) -> Tensor:
        return sum([x, net.f(x), net.g(x)])

    return on_vectors(program, none(2, identity=2), f=mlp(), g=mlp())


@case
def resnet_d_projection() -> Case:
    def program(net: Written, x: Tensor) -> Tensor:
        shortcut = net.norm(net.project(F.avg_pool2d(x, 2)))
        return F.relu(net.conv2(F.relu(net.conv1(x))) + shortcut)

    parts = {
        "project": conv(1),
        "norm": nn.BatchNorm2d(4),
        "conv1": conv(),
        "conv2": conv(stride=2),
    }
    return on_images(program, Truth({"batch": 1}, 2, projection=1), **parts)


@case
def padded_shortcut() -> Case:
    """He et al. 2016, option A: subsample, and pad the missing channels with zeros."""

    def program(net: Written, x: Tensor) -> Tensor:
        shortcut = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))
        return net.conv2(F.relu(net.conv1(x))) + shortcut

    wide = nn.Conv2d(4, 8, 3, stride=2, padding=1)
    return on_images(program, none(1, identity=1), conv1=conv(), conv2=wide)


@case
def zeros_concatenated_shortcut() -> Case:
    """Option A with the zeros concatenated: one sum is the skip, the concatenation is none."""

    def program(net: Written, x: Tensor) -> Tensor:
        small = F.avg_pool2d(x, 2)
        shortcut = torch.cat([small, torch.zeros_like(small)], dim=1)
        return net.conv2(F.relu(net.conv1(x))) + shortcut

    wide = nn.Conv2d(4, 8, 3, stride=2, padding=1)
    return on_images(program, none(1, identity=1), conv1=conv(), conv2=wide)


@case
def projections_without_a_layer() -> Case:
    """Weighted operations are known by their operands: @, einsum, F.linear, F.conv2d, matmul."""

    def program(net: Written, x: Tensor) -> Tensor:
        x = x @ net.w + net.f(x)
        x = torch.einsum("bi,ij->bj", x, net.w) + net.f(x)
        x = F.linear(x, net.w * 0.5) + net.f(x)
        x = x.matmul(net.w.t()) + net.f(x)
        return F.conv1d(x[..., None], net.w[..., None])[..., 0] + net.f(x)

    weight = nn.Parameter(torch.randn(WIDTH, WIDTH) / 3)
    return on_vectors(program, none(5, projection=5), w=weight, f=mlp())


@case
def standardised_weights() -> Case:
    """A weight that is computed from parameters is a weight, and its batch_norm is no norm."""

    def program(net: Written, x: Tensor) -> Tensor:
        flat = net.w.flatten(1)
        by_hand = ((flat - flat.mean(1, keepdim=True)) / flat.std(1, keepdim=True)).view_as(net.w)
        called = F.batch_norm(flat[None], None, None, training=True).view_as(net.w)
        x = F.conv2d(x, by_hand, padding=1) + net.conv2(F.relu(net.conv1(x)))
        return F.conv2d(x, called, padding=1) + net.conv2(F.relu(net.conv1(x)))

    weight = nn.Parameter(torch.randn(4, 4, 3, 3))
    return on_images(program, none(2, projection=2), w=weight, conv1=conv(), conv2=conv())


@case
def composite_branches() -> Case:
    """Attention and LSTM are single calls with weights inside: identity skips around them."""

    def program(net: Written, x: Tensor) -> Tensor:
        x = x + net.attention(x, x, x, need_weights=False)[0]
        return x + net.lstm(x)[0]

    parts = {
        "attention": nn.MultiheadAttention(WIDTH, 2, batch_first=True),
        "lstm": nn.LSTM(WIDTH, WIDTH, batch_first=True),
    }
    return Case(Written(program, **parts), none(identity=2), (torch.randn(2, 5, WIDTH),))


@case
def scaled_branches() -> Case:
    """ReZero's parameter, LayerScale's vector, a mask per sample, dropout: all identity skips."""

    def program(net: Written, x: Tensor) -> Tensor:
        x = x + net.alpha * net.f(x)
        x = x + net.gamma * net.f(x)
        mask = (torch.rand(len(x), 1) < 0.8).to(x) / 0.8
        x = x + net.f(x) * mask
        return x + net.drop(net.f(x))

    parts = {"alpha": nn.Parameter(torch.zeros(())), "gamma": nn.Parameter(torch.ones(WIDTH))}
    return on_vectors(program, none(4, identity=4), f=mlp(), drop=nn.Dropout(0.3), **parts)


class LayerScale(nn.Module):
    """A leaf, elementwise but linear."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((WIDTH,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class DropPath(nn.Module):
    """A leaf that drops samples of a branch while training."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        return x.div(0.8) * torch.empty(len(x), 1).bernoulli_(0.8)


@case
def scaling_leaves() -> Case:
    def program(net: Written, x: Tensor) -> Tensor:
        return x + net.drop(net.scale(net.f(x)))

    return on_vectors(program, none(1, identity=1), f=mlp(), drop=DropPath(), scale=LayerScale())


@case
def weightless_branches() -> Case:
    """Pooling and mixing without weights: the untouched side is the shortcut."""

    def program(net: Written, x: Tensor) -> Tensor:
        x = net.conv(x)
        x = x + F.avg_pool2d(net.norm(x), 3, 1, 1)
        x = x + torch.fft.fft2(x).real
        return x + F.relu(x)

    truth = Truth({"group": 1}, 1, identity=3)
    return on_images(program, truth, conv=conv(), norm=nn.GroupNorm(1, 4))


@case
def highway() -> Case:
    def program(net: Written, x: Tensor) -> Tensor:
        t = torch.sigmoid(net.gate(x))
        h = torch.relu(net.transform(x))
        return t * h + (1 - t) * x

    return on_vectors(program, none(2, gates=1, identity=1), gate=linear(), transform=linear())


@case
def highway_by_lerp() -> Case:
    """lerp(x, h, t) = x + t (h - x): the same layer, its gate inside one call."""

    def program(net: Written, x: Tensor) -> Tensor:
        t = net.gate(x).sigmoid()
        return torch.lerp(x, torch.relu(net.transform(x)), t)

    return on_vectors(program, none(2, gates=None, identity=1), gate=linear(), transform=linear())


@case
def gated_addcmul() -> Case:
    def program(net: Written, x: Tensor) -> Tensor:
        return torch.addcmul(x, net.transform(x), torch.sigmoid(net.gate(x)), value=0.5)

    return on_vectors(program, none(1, gates=None, identity=1), gate=linear(), transform=mlp_free())


def mlp_free() -> nn.Sequential:
    return nn.Sequential(linear(), linear())


@case
def gru_by_hand() -> Case:
    """(1 - z) n + z h carries the state on: one gated identity skip per step, four steps."""

    def program(net: Written, steps: list[Tensor], h: Tensor) -> Tensor:
        for x in steps:
            z = torch.sigmoid(net.xz(x) + net.hz(h))
            r = torch.sigmoid(net.xr(x) + net.hr(h))
            n = torch.tanh(net.xn(x) + r * net.hn(h))
            h = (1 - z) * n + z * h
        return h

    parts = {name: linear() for name in ("xz", "hz", "xr", "hr", "xn", "hn")}
    inputs = ([vector() for _ in range(4)], vector())
    return Case(Written(program, **parts), none(12, gates=8, identity=4), inputs)


@case
def residual_leaf() -> Case:
    """A module without children can hold a skip and an activation."""

    class Leaf(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.randn(WIDTH, WIDTH))

        def forward(self, x: Tensor) -> Tensor:
            return x + torch.relu(x @ self.w)

    return Case(nn.Sequential(Leaf(), linear(), Leaf()), none(2, identity=2), (vector(),))


@case
def cropped_on_both_sides() -> Case:
    """A valid convolution's border, or padding, cut off the shortcut and off the branch alike."""

    def padded(x: Tensor) -> Tensor:
        return F.pad(x, (2, 0, 2, 0))[:, :, :9, :9]

    def program(net: Written, x: Tensor) -> Tensor:
        x = x[:, :, :6] + net.conv2(F.relu(net.conv1(x)))[:, :, :6]
        x = x[:, :2] + net.conv2(F.relu(net.conv1(x)))[:, :2]
        x = torch.cat([x, x], dim=1)
        return net.project(padded(x)) + net.conv2(F.relu(net.conv1(padded(x))))

    parts = {"conv1": conv(), "conv2": conv(), "project": conv(1)}
    return on_images(program, none(3, identity=2, projection=1), **parts)


@case
def parametrised_weights() -> Case:
    """Weight norm, and a weight squashed by tanh: weights all the same, no norm, no activation."""

    def program(net: Written, x: Tensor) -> Tensor:
        x = net.normed(x) + net.f(x)
        return F.linear(x, torch.tanh(net.w)) + net.f(x)

    normed = nn.utils.parametrizations.weight_norm(linear())
    weight = nn.Parameter(torch.randn(WIDTH, WIDTH))
    return on_vectors(program, none(2, projection=2), normed=normed, w=weight, f=mlp())


@case
def torch_transformer() -> Case:
    """torch's own layers, which in eval mode would run as a single fused call."""
    encoder = nn.TransformerEncoderLayer(WIDTH, 2, 16, batch_first=True, norm_first=True)
    other = nn.TransformerEncoderLayer(WIDTH, 2, 16, activation="gelu", batch_first=True)
    decoder = nn.TransformerDecoderLayer(WIDTH, 2, 16, batch_first=True)

    def program(net: Written, x: Tensor) -> Tensor:
        memory = net.other(net.encoder(x))
        return net.decoder(net.start(x), memory)

    parts = {"encoder": encoder, "other": other, "decoder": decoder, "start": linear()}
    truth = Truth({"layer": 2 + 2 + 3}, 3, identity=2 + 2 + 3)
    return Case(Written(program, **parts), truth, (torch.randn(2, 5, WIDTH),))


@case
def routed_experts() -> Case:
    """Mixture of experts: rows are picked, transformed, and added back into zeros."""

    def program(net: Written, x: Tensor) -> Tensor:
        weights, choice = net.router(x).softmax(-1).max(-1)
        out = torch.zeros_like(x)
        for number, expert in enumerate(net.experts):
            rows = torch.where(choice == number)[0]
            out.index_add_(0, rows, expert(x[rows]) * weights[rows, None])
        return x + out

    parts = {"router": nn.Linear(WIDTH, 2), "experts": nn.ModuleList([mlp(), mlp()])}
    return on_vectors(program, none(2, identity=1), **parts)


@case
def added_by_a_hook() -> Case:
    network = nn.Sequential(linear(), mlp(), linear())
    network[1].register_forward_hook(lambda module, args, output: output + args[0])
    return Case(network, none(1, identity=1), (vector(),))


@case
def shared_modules() -> Case:
    """One block called three times is three skips, three norms, six activations."""

    def block(net: Written, x: Tensor) -> Tensor:
        return net.act(x + net.two(net.act(net.one(net.norm(x)))))

    def program(net: Written, x: Tensor) -> Tensor:
        for _ in range(3):
            x = net.block(x)
        return x

    parts = {"norm": nn.LayerNorm(WIDTH), "act": nn.GELU(), "one": linear(), "two": linear()}
    network = Written(program, block=Written(block, **parts))
    return Case(network, Truth({"layer": 3}, 6, identity=3), (vector(),))


@case
def frozen() -> Case:
    """Without a trainable parameter the anatomy is the same."""
    case = out_of_place_block()
    case.network.requires_grad_(False)
    return case


# Concatenations -----------------------------------------------------------------------------------


@case
def unet_concatenation() -> Case:
    def program(net: Written, x: Tensor) -> Tensor:
        one = F.relu(net.enc1(x))
        two = F.relu(net.enc2(F.max_pool2d(one, 2)))
        three = F.relu(net.enc3(F.max_pool2d(two, 2)))
        up = F.interpolate(three, scale_factor=2)
        up = F.relu(net.dec2(torch.cat([two, up], dim=1)))
        up = net.up1(up)
        return net.dec1(torch.cat((up, one), 1))

    parts = {name: conv() for name in ("enc1", "enc2", "enc3")}
    decoders = {"dec2": nn.Conv2d(8, 4, 1), "dec1": nn.Conv2d(8, 4, 1)}
    up1 = nn.ConvTranspose2d(4, 4, 2, stride=2)
    return on_images(program, none(4, concat=2), **parts, **decoders, up1=up1)


@case
def unet_cropped() -> Case:
    """Ronneberger et al. 2015 crop the encoder's map: still its own ancestor, without a weight."""

    def program(net: Written, x: Tensor) -> Tensor:
        one = net.enc(x)
        deep = net.mid(one)
        return net.dec(torch.cat([one[:, :, 1:-1, 1:-1], deep], dim=1))

    parts = {"enc": conv(), "mid": nn.Conv2d(4, 4, 3), "dec": nn.Conv2d(8, 4, 1)}
    return on_images(program, none(concat=1), **parts)


@case
def unet_addition() -> Case:
    def program(net: Written, x: Tensor) -> Tensor:
        one = F.relu(net.enc1(x))
        two = F.relu(net.enc2(F.max_pool2d(one, 2)))
        return net.dec1(one + F.interpolate(two, scale_factor=2))

    return on_images(program, none(2, identity=1), enc1=conv(), enc2=conv(), dec1=conv())


@case
def densenet() -> Case:
    """Every layer appends to all that came before it."""

    def program(net: Written, x: Tensor) -> Tensor:
        for layer in net.layers:
            x = torch.cat([x, layer(x)], dim=1)
        return x

    layers = [
        nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, 4, 3, padding=1))
        for width in (4, 8, 12)
    ]
    truth = Truth({"batch": 3}, 3, concat=3)
    return on_images(program, truth, layers=nn.ModuleList(layers))


@case
def densenet_with_a_list() -> Case:
    """The same, with a list: three operands, and the last holds the others' descendant."""

    def program(net: Written, x: Tensor) -> Tensor:
        maps = [x]
        for layer in net.layers:
            maps.append(layer(torch.concat(maps, dim=1)))
        return torch.cat(maps, 1)

    layers = [nn.Conv2d(width, 4, 3, padding=1) for width in (4, 8, 12)]
    # concat([x]) joins nothing; two and three operands inside, four at the end
    return on_images(program, none(concat=3), layers=nn.ModuleList(layers))


@case
def inception() -> Case:
    """Parallel branches of unequal depth, none of which is another's ancestor."""

    def program(net: Written, x: Tensor) -> Tensor:
        branches = [net.one(x), net.three(net.reduce(x)), net.pooled(F.max_pool2d(x, 3, 1, 1))]
        return F.relu(torch.cat(branches, dim=1))

    parts = {"one": conv(1), "reduce": conv(1), "three": conv(3), "pooled": conv(1)}
    return on_images(program, none(1), **parts)


@case
def space_to_depth() -> Case:
    """Four slices of one signal side by side: equal, no skip."""

    def program(net: Written, x: Tensor) -> Tensor:
        x = net.conv(x)
        parts = [x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)]
        return net.reduce(torch.cat(parts, dim=1))

    return on_images(program, none(), conv=conv(), reduce=nn.Conv2d(16, 4, 1))


@case
def class_token() -> Case:
    """A learned token is concatenated: a parameter is no ancestor."""

    def program(net: Written, x: Tensor) -> Tensor:
        return net.head(torch.cat([net.token.expand(len(x), -1), net.embed(x)], dim=1))

    parts = {"token": nn.Parameter(torch.randn(1, WIDTH)), "embed": linear()}
    return on_vectors(program, none(), **parts, head=nn.Linear(2 * WIDTH, 2))


# Sums that are no skip ----------------------------------------------------------------------------


def repvgg(net: Written, x: Tensor) -> Tensor:
    return net.bn3(net.three(x)) + net.bn1(net.one(x))


def repvgg_parts() -> dict[str, object]:
    return {
        "three": conv(3),
        "one": conv(1),
        "bn3": nn.BatchNorm2d(4),
        "bn1": nn.BatchNorm2d(4),
        "bn0": nn.BatchNorm2d(4),
    }


@case
def repvgg_strided() -> Case:
    return on_images(lambda n, x: F.relu(repvgg(n, x)), Truth({"batch": 2}, 1), **repvgg_parts())


@case
def repvgg_full() -> Case:
    """The third branch, a norm alone, holds no weight: an identity skip."""
    truth = Truth({"batch": 3}, 1, identity=1)
    return on_images(lambda n, x: F.relu(repvgg(n, x) + n.bn0(x)), truth, **repvgg_parts())


@case
def equal_branches() -> Case:
    return on_vectors(lambda n, x: n.f(x) + n.g(x), none(2), f=mlp(), g=mlp())


@case
def doubling() -> Case:
    return on_vectors(lambda n, x: n.f(x + x), none(1), f=mlp())


@case
def two_towers() -> Case:
    """Two inputs meet that share no ancestor."""

    def program(net: Written, a: Tensor, b: Tensor) -> Tensor:
        return net.f(a) + net.g(net.f(b))

    return Case(Written(program, f=mlp(), g=linear()), none(2), (vector(), vector()))


@case
def feature_pyramid() -> Case:
    """FPN: the lateral 1x1 convolution is the one weight of its shortcut (Lin et al. 2017)."""

    def program(net: Written, x: Tensor) -> Tensor:
        fine = F.relu(net.c1(x))
        coarse = F.relu(net.c2(fine))
        return net.lateral1(fine) + F.interpolate(net.lateral2(coarse), scale_factor=2)

    parts = {"c1": conv(), "c2": conv(stride=2), "lateral1": conv(1), "lateral2": conv(1)}
    return on_images(program, none(2, projection=1), **parts)


def attend(net: Written, x: Tensor, *biases: Tensor) -> Tensor:
    q, k, v = net.qkv(x).chunk(3, dim=-1)
    scores = q @ k.transpose(-1, -2) / math.sqrt(WIDTH)
    for bias in biases:
        scores = scores + bias
    return net.out(scores.softmax(-1) @ v)


def attention_parts() -> dict[str, object]:
    return {"qkv": nn.Linear(WIDTH, 3 * WIDTH), "out": linear(), "embed": nn.Embedding(9, WIDTH)}


@case
def attention_with_bias_and_mask() -> Case:
    """Bias from a parameter, a causal mask, and a padding mask computed from the ids."""

    def program(net: Written, ids: Tensor) -> Tensor:
        x = net.embed(ids)
        causal = torch.full((5, 5), -1e4).triu(1)
        padding = (1.0 - (ids != 0).to(x.dtype)) * -1e4
        return x + attend(net, x, net.bias, causal, padding[:, None, :])

    parts = attention_parts() | {"bias": nn.Parameter(torch.zeros(5, 5))}
    ids = torch.tensor([[3, 4, 5, 6, 0], [1, 2, 3, 0, 0]])
    return Case(Written(program, **parts), none(identity=1), (ids,))


@case
def scores_of_content_and_position() -> Case:
    """q k + q P: two similarities are added, of which neither is a version of the signal."""

    def program(net: Written, x: Tensor) -> Tensor:
        q, k, v = net.qkv(x).chunk(3, dim=-1)
        scores = q @ k.transpose(-1, -2) + q @ net.positions.t()
        return x + net.out(scores.softmax(-1) @ v)

    parts = attention_parts() | {"positions": nn.Parameter(torch.randn(5, WIDTH))}
    return Case(Written(program, **parts), none(identity=1), (torch.randn(2, 5, WIDTH),))


@case
def position_embeddings() -> Case:
    """Learned, looked up, sinusoidal, and counted from the ids that are no padding (as in OPT)."""

    def program(net: Written, ids: Tensor) -> Tensor:
        x = net.embed(ids) + net.learned
        x = x + net.table(torch.arange(ids.shape[1]))
        x = x + net.waves[: ids.shape[1]]
        return net.head(x + net.table(torch.cumsum((ids != 0).long(), dim=1)))

    waves = torch.sin(torch.arange(40.0).view(5, WIDTH))
    parts = {
        "embed": nn.Embedding(9, WIDTH),
        "table": nn.Embedding(6, WIDTH),
        "learned": nn.Parameter(torch.zeros(5, WIDTH)),
        "waves": waves,
        "head": linear(),
    }
    return Case(Written(program, **parts), none(), (torch.tensor([[3, 4, 5, 6, 0]]),))


@case
def rotary() -> Case:
    def turned(x: Tensor, angle: Tensor) -> Tensor:
        half = x.shape[-1] // 2
        rotated = torch.cat([-x[..., half:], x[..., :half]], dim=-1)
        return x * angle.cos() + rotated * angle.sin()

    def program(net: Written, x: Tensor) -> Tensor:
        q, k, v = net.qkv(x).chunk(3, dim=-1)
        q, k = turned(q, net.angle), turned(k, net.angle)
        return x + net.out(torch.softmax(q @ k.mT, dim=-1) @ v)

    parts = {"qkv": nn.Linear(WIDTH, 3 * WIDTH), "out": linear(), "angle": torch.rand(5, WIDTH)}
    return Case(Written(program, **parts), none(identity=1), (torch.randn(2, 5, WIDTH),))


@case
def filters() -> Case:
    """A signal less a smoothed version of itself: centring and high-pass, no skip."""

    def program(net: Written, x: Tensor) -> Tensor:
        x = net.conv(x)
        x = x - x.mean(dim=(2, 3), keepdim=True)
        x = F.avg_pool2d(x, 3, 1, 1) - x
        return net.conv(x)

    return on_images(program, none(), conv=conv())


@case
def scalar_sums() -> Case:
    """A network that returns the sum of two losses of one signal."""

    def program(net: Written, x: Tensor) -> dict[str, Tensor]:
        logits = net.f(x)
        labels = torch.zeros(len(x), dtype=torch.long)
        loss = F.cross_entropy(logits, labels) + 0.1 * x.square().mean() + logits.sum()
        return {"loss": loss, "logits": logits}

    return on_vectors(program, none(1), f=mlp())


@case
def biases() -> Case:
    """A parameter, a buffer, a constant, noise, and zeros in the signal's shape."""

    def program(net: Written, x: Tensor) -> Tensor:
        x = net.f(x) + net.bias
        x = x + net.offset + 1.0
        x = x + torch.randn_like(x) * 0.1
        x = x + x.new_zeros(x.shape)
        return net.f(x + torch.zeros_like(x))

    return on_vectors(
        program, none(2), f=mlp(), bias=nn.Parameter(torch.zeros(WIDTH)), offset=torch.ones(WIDTH)
    )


@case
def depthwise_separable() -> Case:
    network = nn.Sequential(
        conv(groups=4), nn.BatchNorm2d(4), nn.ReLU6(), conv(1), nn.BatchNorm2d(4), nn.ReLU6()
    )
    return Case(network, Truth({"batch": 2}, 2), (image(),))


# Norms --------------------------------------------------------------------------------------------


@case
def functional_norms() -> Case:
    def program(net: Written, x: Tensor) -> Tensor:
        x = F.batch_norm(net.conv(x), net.mean, net.var, training=net.training)
        x = F.layer_norm(net.conv(x), x.shape[1:])
        x = F.group_norm(net.conv(x), 2)
        x = F.instance_norm(net.conv(x))
        x = F.rms_norm(net.conv(x), (8,))
        return torch.nn.functional.layer_norm(input=net.conv(x), normalized_shape=(8, 8))

    norms = {"batch": 1, "layer": 2, "group": 1, "instance": 1, "rms": 1}
    parts = {"conv": conv(), "mean": torch.zeros(4), "var": torch.ones(4)}
    return on_images(program, Truth(norms, 0), **parts)


@case
def module_norms() -> Case:
    network = nn.Sequential(
        conv(), nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4, affine=True),
        nn.LayerNorm((4, 8, 8)), nn.RMSNorm(8), nn.Flatten(2), nn.BatchNorm1d(4),
        nn.InstanceNorm1d(4),
    )  # fmt: skip
    norms = {"batch": 2, "group": 1, "instance": 2, "layer": 1, "rms": 1}
    return Case(network, Truth(norms, 0), (image(),))


class HandRMSNorm(nn.Module):
    """As Llama's."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(WIDTH) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        kind = x.dtype
        x = x.float()
        x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)
        return self.weight * x.to(kind)


@case
def rms_leaf() -> Case:
    network = nn.Sequential(linear(), HandRMSNorm(), linear(), HandRMSNorm())
    return Case(network, Truth({"rms": 2}, 0), (vector(),))


class ChannelFirstLayerNorm(nn.Module):
    """As ConvNeXt's own code has it: mean and variance over the channels, written out."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(4) + 0.5)
        self.bias = nn.Parameter(torch.randn(4))

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(1, keepdim=True)
        variance = (x - mean).pow(2).mean(1, keepdim=True)
        x = (x - mean) / torch.sqrt(variance + 1e-6)
        return self.weight[:, None, None] * x + self.bias[:, None, None]


@case
def channel_first_leaf() -> Case:
    network = nn.Sequential(conv(), ChannelFirstLayerNorm(), conv())
    return Case(network, Truth({"layer": 1}, 0), (image(),))


class GatedRMSNorm(HandRMSNorm):
    """As Mamba-2's: the norm of a gated signal, in one leaf."""

    def forward(self, x: Tensor, gate: Tensor) -> Tensor:
        return super().forward(x * F.silu(gate))


@case
def gated_norm_leaf() -> Case:
    """The norm does not swallow the activation that it calls."""

    def program(net: Written, x: Tensor) -> Tensor:
        return net.two(net.norm(net.one(x), net.gate(x)))

    parts = {"one": linear(), "gate": linear(), "two": linear()}
    truth = Truth({"rms": 1}, 1, gates=1)
    return on_vectors(program, truth, norm=GatedRMSNorm(), **parts)


@case
def rms_inline() -> Case:
    def program(net: Written, x: Tensor) -> Tensor:
        x = net.one(x)
        x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)
        return net.two(x)

    return on_vectors(program, none(inline=1), one=linear(), two=linear())


@case
def standardisation_inline() -> Case:
    def program(net: Written, x: Tensor) -> Tensor:
        x = net.one(x)
        x = (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-6)
        return net.two(x)

    return on_vectors(program, none(inline=1), one=linear(), two=linear())


@case
def normalize_inline() -> Case:
    def program(net: Written, x: Tensor) -> Tensor:
        return net.two(F.normalize(net.one(x), dim=-1))

    return on_vectors(program, none(inline=1), one=linear(), two=linear())


@case
def normalised_parameters() -> Case:
    """A norm of learned queries normalises no signal of the input."""

    def program(net: Written, x: Tensor) -> Tensor:
        scores = net.keys(x) @ net.norm(net.queries).t()
        return scores.softmax(-1) @ net.queries

    parts = {"norm": nn.LayerNorm(WIDTH), "keys": linear()}
    return on_vectors(program, none(), **parts, queries=nn.Parameter(torch.randn(3, WIDTH)))


@case
def saturating_leaves() -> Case:
    """At large scale they ignore the scale too, and are no norms: softmax is nothing at all."""
    leaves = (nn.Softmax(-1), nn.Tanh(), nn.Hardtanh(), nn.Sigmoid(), nn.Softsign())
    network = nn.Sequential(*(part for leaf in leaves for part in (linear(), leaf)))
    return Case(network, none(4), (vector(),))


# Activations --------------------------------------------------------------------------------------


@case
def functional_activations() -> Case:
    def program(net: Written, x: Tensor) -> Tensor:
        for act in (
            F.relu, torch.relu, Tensor.relu, F.relu_, Tensor.relu_, torch.tanh, Tensor.sigmoid,
            F.gelu, F.silu, F.mish, F.hardswish, F.leaky_relu, F.elu, F.selu, F.softplus, F.relu6,
            F.logsigmoid, F.hardsigmoid,
        ):  # fmt: skip
            x = act(net.linear(x))
        return net.linear(x)

    return on_vectors(program, none(18), linear=linear())


@case
def module_activations() -> Case:
    leaves = (nn.ReLU(), nn.ReLU(inplace=True), nn.PReLU(), nn.CELU(), nn.Hardsigmoid(), nn.Mish())
    network = nn.Sequential(*(part for leaf in leaves for part in (linear(), leaf)))
    return Case(network, none(6), (vector(),))


class NewGELU(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * x * (1 + torch.tanh(0.79788 * (x + 0.044715 * x**3)))


class Snake(nn.Module):
    """x + sin(a x)^2 / a, as in neural audio codecs: elementwise, with a parameter per channel."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.sin(self.a * x).square() / self.a


class Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        s = torch.sigmoid(ctx.saved_tensors[0])
        return gradient * s * (1 + ctx.saved_tensors[0] * (1 - s))


class MemoryEfficientSwish(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return Swish.apply(x)


@case
def elementwise_leaves() -> Case:
    """A leaf that acts elementwise is one activation, whatever it calls; its sums are no skips."""
    leaves = (NewGELU(), Snake(), MemoryEfficientSwish())
    network = nn.Sequential(*(part for leaf in leaves for part in (linear(), leaf)))
    return Case(network, none(3), (vector(),))


@case
def gelu_inline() -> Case:
    """Inside a larger module: tanh is the activation, x + c x^3 no skip, and no gate."""

    def program(net: Written, x: Tensor) -> Tensor:
        x = net.one(x)
        x = 0.5 * x * (1.0 + torch.tanh(0.79788456 * (x + 0.044715 * x**3)))
        return net.two(x)

    return on_vectors(program, none(1), one=linear(), two=linear())


@case
def swish_inline() -> Case:
    """A sigmoid that multiplies its own input gates no *other* signal."""

    def program(net: Written, x: Tensor) -> Tensor:
        x = net.one(x)
        return net.two(x * torch.sigmoid(1.702 * x))

    return on_vectors(program, none(1), one=linear(), two=linear())


@case
def squeeze_excite() -> Case:
    def program(net: Written, x: Tensor) -> Tensor:
        x = F.relu(net.conv(x))
        s = net.fc2(F.relu(net.fc1(x.mean((2, 3)))))
        return x * torch.sigmoid(s)[:, :, None, None]

    return on_images(
        program, none(3, gates=1), conv=conv(), fc1=nn.Linear(4, 2), fc2=nn.Linear(2, 4)
    )


@case
def gated_units() -> Case:
    """GLU, SwiGLU, WaveNet's tanh * sigmoid (the sigmoid is the gate), and a hard sigmoid."""

    def program(net: Written, x: Tensor) -> Tensor:
        x = F.glu(net.wide(x), dim=-1)
        a, b = net.wide(x).chunk(2, dim=-1)
        x = F.silu(a) * b
        a, b = net.wide(x).split(WIDTH, dim=-1)
        x = torch.tanh(a) * torch.sigmoid(b)
        return x * F.hardsigmoid(net.narrow(x))

    wide = nn.Linear(WIDTH, 2 * WIDTH)
    return on_vectors(program, none(5, gates=4), wide=wide, narrow=linear())


@case
def gates_that_are_modules() -> Case:
    """GEGLU through a composite leaf, nn.GLU, and nn.Sigmoid."""

    def program(net: Written, x: Tensor) -> Tensor:
        a, b = net.wide(x).chunk(2, dim=-1)
        x = net.glu(net.wide(net.gelu(a) * b))
        return x * net.sigmoid(net.narrow(x))

    parts = {"wide": nn.Linear(WIDTH, 2 * WIDTH), "narrow": linear()}
    leaves = {"gelu": NewGELU(), "glu": nn.GLU(), "sigmoid": nn.Sigmoid()}
    return on_vectors(program, none(3, gates=3), **parts, **leaves)


@case
def softmax_is_nothing() -> Case:
    def program(net: Written, x: Tensor) -> Tensor:
        x = torch.softmax(net.f(x), dim=-1)
        return F.log_softmax(net.f(x), dim=-1)

    return on_vectors(program, none(), f=linear())


@case
def activated_parameters() -> Case:
    """A sigmoid of a learned scale sees no signal: neither activation nor gate."""

    def program(net: Written, x: Tensor) -> Tensor:
        return x + torch.sigmoid(net.scale) * net.f(x)

    scale = nn.Parameter(torch.zeros(()))
    return on_vectors(program, none(1, identity=1), f=mlp(), scale=scale)


# Ways of the signal -------------------------------------------------------------------------------


class StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


@case
def cut_gradients() -> Case:
    """Lineage is about values: detach, .data and custom functions do not hide a shortcut."""

    def program(net: Written, x: Tensor) -> Tensor:
        x = net.stem(x)
        x = x.detach() + net.f(x)
        x = x + net.f(x).detach()
        x = x.data + net.f(x)
        x = StraightThrough.apply(x) + net.f(x)
        x = x + StraightThrough.apply(net.f(x))
        with torch.no_grad():
            return x + net.f(x)

    return on_vectors(program, none(6, identity=6), f=mlp(), stem=linear())


@case
def views_and_indices() -> Case:
    def program(net: Written, x: Tensor) -> Tensor:
        x = x.view(2, 2, 2, WIDTH // 2).flatten(2)
        x = x + net.f(x.transpose(0, 1)).mT.mT.permute(1, 0, 2)
        order = torch.tensor([1, 0])
        x = x[order] + net.f(x)[order]
        a, b = x.unbind(0)
        x = torch.stack([a, b]).contiguous().clone()
        x = x.index_select(1, order) + net.f(x.reshape(-1, WIDTH)).view_as(x)
        x = x.expand(2, 2, WIDTH) + net.f(x).squeeze().unsqueeze(0)[0]
        y = torch.empty_like(x)
        y.copy_(x)
        z = torch.zeros_like(y)
        z[:] = net.f(y)
        return y + z

    return on_vectors(program, none(5, identity=5), f=mlp())


@case
def half_precision() -> Case:
    def program(net: Written, x: Tensor) -> Tensor:
        return x + net.f(net.norm(x))

    network = Written(program, f=mlp(), norm=HandRMSNorm()).bfloat16()
    return Case(network, Truth({"rms": 1}, 1, identity=1), (vector().bfloat16(),))


@case
def under_autocast() -> Case:
    def program(net: Written, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return x + net.f(net.norm(x))

    truth = Truth({"layer": 1}, 1, identity=1)
    return on_vectors(program, truth, f=mlp(), norm=nn.LayerNorm(WIDTH))


def branching(net: Written, x: Tensor) -> Tensor:
    """Takes the residual way only where the mean is positive."""
    return x + net.f(x) if x.mean() > 0 else torch.tanh(net.f(x))


@case
def data_says_residual() -> Case:
    return Case(Written(branching, f=mlp()), none(1, identity=1), (vector().abs(),))


@case
def data_says_plain() -> Case:
    return Case(Written(branching, f=mlp()), none(2), (-vector().abs(),))
