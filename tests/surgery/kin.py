"""Third-party families for surgery: how to edit their source by hand, and how many sites their definitions give them.

`edits` name the additions that are skips, in the model's own source: a twin is the same network with its `forward`
compiled again, each of these expressions put as `JOIN(shortcut, branch)`. Counts are formulas read off the definitions
(`tests/anatomy/families.py` has those of norms and skips).
"""

import copy
import fnmatch
import functools
import inspect
import sys
import textwrap
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from tests.anatomy import families
from torch import Tensor, nn

Join = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Kin:
    """A family.

    Attributes:
        norms: their family, empty where there are none.
        edits: class, expression as it stands there, and the same as a call of JOIN.
        blocks: modules to which AddSkips gives a shortcut, as globs: those that bend or normalise, keep the shape of
            their only input, hold weights, and have no smaller such module and no skip in them.
        row: the glob of skips whose blocks can change places, and the list they stand in.
        maps: linear maps and convolutions that run once, on one tensor, with no norm directly behind.
        folded: batch norms that take what a convolution or linear map returns, and nothing between.
        moved: norms directly in front of an activation, as (parent, norm, activation).
        without: skips whose branch holds no norm since the skip before.
        inside: its norms are calls in another module's code, as (class of the module).
        unlisted: operations that have sites here which nobody has written down.
    """

    norms: str = "layer"
    edits: tuple[tuple[str, str, str], ...] = ()
    blocks: tuple[str, ...] = ()
    row: tuple[str, str] | None = None
    maps: int = 0
    folded: int = 0
    moved: tuple[str, str] | None = None
    number_moved: int = 0
    without: int = 0
    inside: str = ""
    unlisted: tuple[str, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)


def _same(kind: str, text: str, joined: str) -> tuple[tuple[str, str, str], ...]:
    return tuple((each, text, joined) for each in kind.split())


def _before(kinds: str, shortcut: str, branch: str) -> tuple[tuple[str, str, str], ...]:
    """Where a source says `shortcut + branch`."""
    return _same(kinds, f"{shortcut} + {branch}", f"JOIN({shortcut}, {branch})")


def _after(kinds: str, shortcut: str, branch: str) -> tuple[tuple[str, str, str], ...]:
    """Where a source says `branch + shortcut`."""
    return _same(kinds, f"{branch} + {shortcut}", f"JOIN({shortcut}, {branch})")


_LLAMA = ("residual", "hidden_states")
_TRANSFORMER = {"blocks": ("layers.*.mlp",), "row": ("layers.*", "layers")}

KIN: Mapping[str, Kin] = {
    "resnet_basic": Kin(
        norms="batch",
        edits=_same(
            "ResNetBasicLayer",
            "hidden_state += residual",
            "hidden_state = JOIN(residual, hidden_state)",
        ),
        # a convolution of 3 x 3 keeps the shape but in the first of a stage that widens
        blocks=(
            "encoder.stages.0.layers.?.layer.?",
            "encoder.stages.[12].layers.*.layer.1",
            "encoder.stages.2.layers.1.layer.0",
        ),
        row=("encoder.stages.0.*", "encoder.stages.0.layers"),
        folded=1 + 2 * 5 + 2,
        moved=("normalization", "activation"),
        number_moved=1 + 5,
    ),
    "resnet_bottleneck": Kin(
        norms="batch",
        edits=_same(
            "ResNetBottleNeckLayer",
            "hidden_state += residual",
            "hidden_state = JOIN(residual, hidden_state)",
        ),
        blocks=("encoder.stages.0.layers.*.layer.1", "encoder.stages.2.layers.1.layer.1"),
        row=("encoder.stages.0.*", "encoder.stages.0.layers"),
        folded=1 + 3 * 5 + 2,
        moved=("normalization", "activation"),
        number_moved=1 + 2 * 5,
    ),
    "convnext": Kin(
        norms="layer",
        edits=_before("ConvNextLayer", "residual", "self.drop_path(features)"),
        row=("encoder.stages.0.*", "encoder.stages.0.layers"),
        maps=2 * 5
        + (3 - 1)
        + 5
        + 1,  # pointwise; downsampling; depthwise (a permute is behind); patches
    ),
    "regnet_x": Kin(
        norms="batch",
        edits=_same(
            "RegNetXLayer",
            "hidden_state += residual",
            "hidden_state = JOIN(residual, hidden_state)",
        ),
        folded=1 + 3 * 5 + 3,
        # in the first block of a stage the middle one strides, and the first widens but in stage 0
        blocks=(
            "encoder.stages.?.layers.0.layer.2",
            "encoder.stages.0.layers.0.layer.0",
            "encoder.stages.?.layers.1.layer.?",
        ),
        moved=("normalization", "activation"),
        number_moved=1 + 2 * 5,
    ),
    "regnet_y": Kin(
        unlisted=("AddSkips",),
        norms="batch",
        edits=_same(
            "RegNetYLayer",
            "hidden_state += residual",
            "hidden_state = JOIN(residual, hidden_state)",
        ),
        maps=2 * 5,  # the two convolutions of squeeze-and-excite
        folded=1 + 3 * 5 + 3,
        moved=("normalization", "activation"),
        number_moved=1 + 2 * 5,
    ),
    "bit_preactivation": Kin(
        norms="group",
        edits=_after("BitPreActivationBottleneckLayer", "shortcut", "hidden_states"),
        maps=1 + 3 + 2,  # embedding, the last convolution of each block, projections
        inside="BitGroupNormActivation",
    ),
    "mobilenet_v1": Kin(
        # depthwise ones of stride 1, pointwise ones of equal width
        norms="batch",
        blocks=tuple(
            f"layer.{at}" for at in (0, 4, 8, 12, 14, 16, 18, 20, 24, 5, 9, 13, 15, 17, 19, 21, 25)
        ),
        folded=27,
        moved=("normalization", "activation"),
        number_moved=27,
    ),
    "mobilenet_v2": Kin(
        unlisted=("AddSkips", "PermuteBlocks"),
        norms="batch",
        edits=_same(
            "MobileNetV2InvertedResidual", "residual + features if", "JOIN(residual, features) if"
        ),
        folded=3 + 3 * 16 + 1,
        moved=("normalization", "activation"),
        number_moved=2 + 2 * 16 + 1,
    ),
    "efficientnet": Kin(
        unlisted=("AddSkips", "MoveNorm", "PermuteBlocks"),
        norms="batch",
        edits=_after("EfficientNetFinalBlockLayer", "embeddings", "hidden_states"),
        maps=2 * 6,  # squeeze and excite
        folded=1 + 2 * 6 + 5 + 1,
    ),
    "levit": Kin(
        unlisted=("AddSkips", "MoveNorm", "PermuteBlocks"),
        norms="batch",
        edits=_same(
            "LevitResidualLayer",
            "hidden_state = hidden_state + self.module(hidden_state)\n",
            "hidden_state = JOIN(hidden_state, self.module(hidden_state))\n",
        ),
        folded=4,  # the stem; the others see a flattened signal
    ),
    "poolformer": Kin(
        norms="group",
        edits=_before("PoolFormerLayer", "hidden_states", "self.drop_path(scaled_op)"),
        blocks=("encoder.block.*.*.output",),
        row=("encoder.block.0.*", "encoder.block.0"),
        maps=2 * 3 + 2,  # two convolutions a block, patches of two stages
    ),
    "encodec_encoder": Kin(
        norms="",
        edits=_before("EncodecResnetBlock", "self.shortcut(residual)", "hidden_states")
        + _after("EncodecLSTM", "hidden_states", "self.lstm(hidden_states)[0]"),
        without=3,
    ),
    "vit": Kin(
        norms="layer",
        edits=_after("ViTLayer", "residual", "hidden_states"),
        maps=1 + 6 * 3 + 1,
        **_TRANSFORMER,
    ),
    "dinov2_gelu": Kin(
        norms="layer",
        edits=_after("Dinov2Layer", "residual", "self.drop_path(hidden_states)"),
        blocks=("encoder.layer.*.mlp",),
        row=("encoder.layer.*", "encoder.layer"),
        maps=1 + 6 * 2,
    ),
    "swin": Kin(
        norms="layer",
        edits=_before("SwinLayer", "shortcut", "self.drop_path(attention_windows)")
        + _after("SwinLayer", "residual", "self.dropout(hidden_states)"),
        blocks=("encoder.layers.*.blocks.*.mlp",),
        maps=1 + 6 * 4 + 1,  # merging; patches
    ),
    "bert": Kin(
        norms="layer",
        edits=_after("BertSelfOutput BertOutput", "input_tensor", "hidden_states"),
        row=("encoder.layer.*", "encoder.layer"),
        maps=6 * 3 + 1,
    ),
    "roberta": Kin(
        edits=_after("RobertaSelfOutput RobertaOutput", "input_tensor", "hidden_states"),
        row=("encoder.layer.*", "encoder.layer"),
        maps=6 * 3 + 1,
    ),
    "distilbert": Kin(
        norms="layer",
        edits=_after("TransformerBlock", "hidden_states", "attention_output")
        + _after("TransformerBlock", "attention_output", "ffn_output"),
        blocks=("transformer.layer.*.ffn",),
        row=("transformer.layer.*", "transformer.layer"),
        maps=6 * 2,
    ),
    "albert": Kin(
        norms="layer",
        edits=_before("AlbertAttention", "hidden_states", "attn_output")
        + _after("AlbertLayer", "attention_output", "ffn_output"),
        maps=2,  # embedding projection and pooler: all else runs three times
    ),
    "gpt2": Kin(
        norms="layer",
        edits=_after("GPT2Block", "residual", "attn_output")
        + _before("GPT2Block", "residual", "feed_forward_hidden_states"),
        blocks=("h.*.mlp",),
        row=("h.*", "h"),
        maps=4 * 3,
    ),
    "gpt_neox": Kin(
        norms="layer",
        edits=_after("GPTNeoXLayer", "hidden_states", "mlp_output + attn_output"),
        maps=4 * 2,
        **_TRANSFORMER,
    ),
    "cohere": Kin(
        norms="layer",
        edits=_same(
            "CohereDecoderLayer",
            "residual + hidden_states_attention + hidden_states_mlp",
            "JOIN(JOIN(residual, hidden_states_attention), hidden_states_mlp)",
        ),
        maps=7 * 2,
        without=2,
        **_TRANSFORMER,
    ),
    "llama": Kin(
        norms="rms", edits=_before("LlamaDecoderLayer", *_LLAMA), maps=7 * 2, **_TRANSFORMER
    ),
    "mistral": Kin(
        norms="rms", edits=_before("MistralDecoderLayer", *_LLAMA), maps=7 * 2, **_TRANSFORMER
    ),
    "gemma": Kin(
        norms="rms", edits=_before("GemmaDecoderLayer", *_LLAMA), maps=7 * 2, **_TRANSFORMER
    ),
    "t5": Kin(
        norms="rms",
        edits=_before("T5LayerFF", "hidden_states", "self.dropout(forwarded_states)")
        + _before(
            "T5LayerSelfAttention T5LayerCrossAttention",
            "hidden_states",
            "self.dropout(attention_output)",
        ),
        blocks=("*.DenseReluDense",),
        maps=6 * 2 + 10 * 3,
    ),
    "whisper": Kin(
        norms="layer",
        edits=_before("WhisperEncoderLayer WhisperDecoderLayer", *_LLAMA),
        row=("encoder.layers.*", "encoder.layers"),
        maps=2 + 6 * 2 + 10 * 2,
    ),
}


@functools.cache
def truth(family: str) -> families.Truth:
    """What the definition says of norms and skips."""
    found: families.Truth = getattr(families, family)().truth
    return found


def case(
    family: str, *, train: bool, seed: int = 0
) -> tuple[nn.Module, dict[str, Any] | tuple[Any, ...]]:
    """The network with stirred weights, in float64, and what to call it with."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = getattr(families, family)()
        network = made.network.double().train(train)
        for module in network.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0  # whose draws would come in another order
            for key, value in vars(module).items():
                if ("dropout" in key or key == "drop_prob") and isinstance(value, float):
                    setattr(module, key, 0.0)
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if parameter.dim() == 1 or "layer_scale" in name:
                    parameter.add_(0.3 * torch.randn_like(parameter))
            for name, buffer in network.named_buffers():
                if name.endswith("running_mean"):
                    buffer.copy_(0.3 * torch.randn_like(buffer))
                if name.endswith("running_var"):
                    buffer.copy_(0.5 + torch.rand_like(buffer))
    args = [
        each.double() if torch.is_tensor(each) and each.is_floating_point() else each
        for each in made.args
    ]
    if not made.kwargs:
        return network, tuple(args)
    named = dict(zip(inspect.signature(network.forward).parameters, args, strict=False))
    kwargs = {
        key: each.double() if torch.is_tensor(each) and each.is_floating_point() else each
        for key, each in made.kwargs.items()
    }
    return network, {**named, **kwargs}


def output(network: nn.Module, inputs: dict[str, Any] | tuple[Any, ...]) -> Tensor:
    """The first tensor that a fresh copy returns."""
    torch.manual_seed(4)
    network = copy.deepcopy(network)
    returned = network(**inputs) if isinstance(inputs, dict) else network(*inputs)
    found = returned if isinstance(returned, Tensor) else returned[0]
    assert isinstance(found, Tensor)
    return found


def twin(network: nn.Module, family: str, join: Join) -> nn.Module:
    """The network with its source edited: every skip is `join(shortcut, branch)`."""
    network, done = copy.deepcopy(network), set()
    for module in network.modules():
        for kind, text, joined in KIN[family].edits:
            if type(module).__name__ != kind:
                continue
            function = getattr(module.forward, "__func__", type(module).forward)
            source = getattr(function, "edited", None) or textwrap.dedent(
                inspect.getsource(inspect.unwrap(function))
            )
            assert text in source, (kind, text)
            source = source.replace(text, joined)
            module.forward = types.MethodType(
                _compiled(source, inspect.unwrap(type(module).forward), join), module
            )
            done.add((kind, text))
    assert done == {(kind, text) for kind, text, _ in KIN[family].edits}
    return network


def _compiled(source: str, function: Any, join: Join) -> Any:
    lines = source.splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith("def "))
    space = {**sys.modules[function.__module__].__dict__, "JOIN": join}
    exec("from __future__ import annotations\n" + "\n".join(lines[start:]) + "\n", space)
    made = space["forward"]
    made.edited = source
    return made


def norms_of(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules that normalise, by their classes."""
    plain = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)
    for path, module in network.named_modules():
        if isinstance(module, plain) or type(module).__name__.endswith(
            ("RMSNorm", "T5LayerNorm", "CohereLayerNorm")
        ):
            yield path, module


def matching(network: nn.Module, patterns: tuple[str, ...]) -> list[str]:
    return [
        path
        for path, _ in network.named_modules()
        if any(fnmatch.fnmatchcase(path, p) for p in patterns)
    ]
