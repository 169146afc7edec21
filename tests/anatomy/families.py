"""Third-party families with a known anatomy, small enough to run in a blink.

The truth of a family is a formula in the depths of its configuration, read off the definition of
the architecture (the paper, and the model's source in `transformers`), never off skipnorm's own
answer. `test_families.py` also checks every truth with forward hooks and the autograd graph, which
know nothing of skipnorm.
"""

import fnmatch
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers as hf
from torch import nn


@dataclass(frozen=True)
class Truth:
    """What the definition of an architecture says about one forward pass."""

    norms: Mapping[str, int]  # executions by family; families not named here: none
    activations: int
    identity: int = 0  # additions whose shortcut holds no weights
    projection: int = 0  # additions whose shortcut holds exactly one weighted operation
    concat: int = 0  # concatenations with an own ancestor
    gates: int | None = 0  # None: the definition does not settle it
    inline: int = 0  # normalisations without a module of their own: a norm, or a note in .unseen
    arguable: str = ""  # skips at modules of this pattern are not judged (reason at the case)
    plain_sums: int = 0  # sums of two signals that are no skip; only the oracle uses this
    # activations that hooks on modules and torch.nn.functional cannot count (torch.sigmoid inline)
    inline_activations: int = 0


@dataclass(frozen=True)
class Case:
    """A network, what to call it with, and the truth about it."""

    network: nn.Module
    truth: Truth
    args: tuple[object, ...] = ()
    kwargs: Mapping[str, object] = field(default_factory=dict)


def complaint(anatomy: Any, truth: Truth) -> str:
    """What the anatomy and the truth disagree about, with all sites; empty where they agree."""
    skips = [s for s in anatomy.skips if not fnmatch.fnmatch(s.module, truth.arguable or "-")]
    found: dict[str, object] = {
        "activations": len(anatomy.activations),
        "gates": sum(a.gate for a in anatomy.activations),
        "identity": sum(s.merge == "add" and s.shortcut == "identity" for s in skips),
        "projection": sum(s.merge == "add" and s.shortcut == "projection" for s in skips),
        "concat": sum(s.merge == "concat" for s in skips),
    }
    lines = [
        f"{word}: expected {getattr(truth, word)}, found {number}"
        for word, number in found.items()
        if getattr(truth, word) not in (None, number)
    ]
    lines += norm_complaint(anatomy, truth)
    return "\n".join([*lines, listing(anatomy)]) if lines else ""


def norm_complaint(anatomy: Any, truth: Truth) -> list[str]:
    found, wanted = Counter(n.family for n in anatomy.norms), Counter(truth.norms)
    surplus = (found - wanted).total()
    if wanted - found or surplus > truth.inline:
        more = f" (and up to {truth.inline} inline)" if truth.inline else ""
        return [f"norms: expected {dict(wanted)}{more}, found {dict(found)}"]
    if surplus < truth.inline and not anatomy.unseen:
        return ["norms: an inline normalisation is silently absent (no norm, no note in .unseen)"]
    return []


def listing(anatomy: Any) -> str:
    return "\n".join(["sites:", *(f"  {s!r}" for s in anatomy.sites), f"unseen: {anatomy.unseen}"])


def pixels(size: int = 32) -> torch.Tensor:
    return torch.randn(2, 3, size, size)


def tokens(length: int = 7) -> torch.Tensor:
    return torch.randint(3, 20, (2, length))


# Convolutional networks ---------------------------------------------------------------------------


def resnet(layer_type: str, convolutions: int) -> Case:
    depths = (2, 1, 2)
    config = hf.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16, 32], depths=list(depths), layer_type=layer_type
    )
    # a stage projects where width or stride changes: stage 0 keeps both (8 -> 8, stride 1)
    projections = len(depths) - 1
    blocks = sum(depths)
    truth = Truth(
        # 1 stem + one per convolution + 1 per projection
        norms={"batch": 1 + convolutions * blocks + projections},
        # 1 stem + one per convolution but the last + 1 after the addition
        activations=1 + convolutions * blocks,
        identity=blocks - projections,
        projection=projections,
    )
    return Case(hf.ResNetModel(config), truth, (pixels(),))


def resnet_basic() -> Case:
    return resnet("basic", convolutions=2)


def resnet_bottleneck() -> Case:
    return resnet("bottleneck", convolutions=3)


def convnext() -> Case:
    depths = (2, 1, 2)
    config = hf.ConvNextConfig(
        hidden_sizes=[8, 12, 16], depths=list(depths), num_stages=3, drop_path_rate=0.1
    )
    truth = Truth(
        # 1 after the patches + 1 before each downsampling + 1 per block + 1 after pooling
        norms={"layer": 1 + (len(depths) - 1) + sum(depths) + 1},
        activations=sum(depths),  # one GELU per block
        identity=sum(depths),
    )
    return Case(hf.ConvNextModel(config), truth, (pixels(),))


def convnextv2() -> Case:
    depths = (2, 1)
    config = hf.ConvNextV2Config(hidden_sizes=[8, 12], depths=list(depths), num_stages=2)
    truth = Truth(
        # As ConvNeXt. GRN is no norm by the behaviour that defines one: GRN(k x) = k GRN(x), its
        # divisor is a mean of the very norms in its numerator, so the signal keeps its scale.
        norms={"layer": 1 + (len(depths) - 1) + sum(depths) + 1},
        activations=sum(depths),
        # The block's own, and the one inside GRN (Woo et al. 2023, algorithm 1: gamma * (X * N) +
        # beta + X, "we also include a residual connection"): neither side has weights, the one
        # that is multiplied by the response is the branch.
        identity=2 * sum(depths),
    )
    return Case(hf.ConvNextV2Model(config), truth, (pixels(),))


def mobilenet_v1() -> Case:
    config = hf.MobileNetV1Config(depth_multiplier=0.25, image_size=32)
    # 1 stem + 13 depthwise-separable pairs, each convolution with norm and ReLU6; no skips
    truth = Truth(norms={"batch": 1 + 2 * 13}, activations=1 + 2 * 13)
    return Case(hf.MobileNetV1Model(config), truth, (pixels(),))


def mobilenet_v2() -> Case:
    config = hf.MobileNetV2Config(depth_multiplier=0.25, image_size=32, finegrained_output=False)
    # Sandler et al. 2018, table 2: 16 inverted residuals after the first; the repeats of a group
    # (1, 2, 3, 2, 2, 0 of them) keep stride and width and have the shortcut.
    blocks, repeats = 16, 1 + 2 + 3 + 2 + 2
    truth = Truth(
        # stem: first, depthwise, reduce; 3 per block; the last 1x1
        norms={"batch": 3 + 3 * blocks + 1},
        activations=2 + 2 * blocks + 1,  # all but the linear bottlenecks
        identity=repeats,
    )
    return Case(hf.MobileNetV2Model(config), truth, (pixels(),))


def efficientnet() -> Case:
    repeats, ratios = (1, 2, 3), (1, 6, 6)
    config = hf.EfficientNetConfig(
        image_size=32,
        width_coefficient=1.0,
        depth_coefficient=1.0,
        kernel_sizes=[3, 3, 5],
        in_channels=[32, 16, 24],
        out_channels=[16, 24, 40],
        strides=[1, 2, 2],
        num_block_repeats=list(repeats),
        expand_ratios=list(ratios),
        hidden_dim=1280,
    )
    blocks = sum(repeats)
    expansions = sum(n for n, ratio in zip(repeats, ratios, strict=True) if ratio != 1)
    truth = Truth(
        norms={"batch": 1 + 2 * blocks + expansions + 1},  # stem, depthwise + projection, top
        # stem, expansion, depthwise, squeeze-excite (swish and sigmoid), top
        activations=1 + expansions + blocks + 2 * blocks + 1,
        gates=blocks,  # the sigmoid of squeeze-excite; the swish it multiplies is the signal
        identity=sum(n - 1 for n in repeats),  # every repeat of a stage after its first
    )
    return Case(hf.EfficientNetModel(config), truth, (pixels(),))


def regnet(layer_type: str) -> Case:
    depths = (2, 1, 2)
    config = hf.RegNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16, 24],
        depths=list(depths),
        groups_width=4,
        layer_type=layer_type,
        downsample_in_first_stage=True,
    )
    blocks, excited = sum(depths), sum(depths) if layer_type == "y" else 0
    truth = Truth(
        norms={"batch": 1 + 3 * blocks + len(depths)},  # stem, 3 per block, projections
        activations=1 + 3 * blocks + 2 * excited,  # squeeze-excite: ReLU and sigmoid
        gates=excited,
        identity=blocks - len(depths),
        projection=len(depths),  # every stage halves the image in its first block
    )
    return Case(hf.RegNetModel(config), truth, (pixels(),))


def regnet_x() -> Case:
    return regnet("x")


def regnet_y() -> Case:
    return regnet("y")


def bit_preactivation() -> Case:
    depths = (2, 1)
    config = hf.BitConfig(
        embedding_size=8, hidden_sizes=[16, 32], depths=list(depths), num_groups=4
    )
    blocks = sum(depths)
    truth = Truth(
        # 3 per block + the last one. The batch_norm that standardises the *weights* is no norm.
        norms={"group": 3 * blocks + 1},
        activations=3 * blocks + 1,  # a ReLU with every norm
        identity=blocks - len(depths),
        # The first block of a stage always projects, from the shared pre-activation.
        projection=len(depths),
    )
    return Case(hf.BitModel(config), truth, (pixels(),))


def bit_bottleneck() -> Case:
    depths = (2, 1)
    config = hf.BitConfig(
        embedding_size=8,
        hidden_sizes=[16, 32],
        depths=list(depths),
        num_groups=4,
        layer_type="bottleneck",
    )
    blocks = sum(depths)
    truth = Truth(
        norms={"group": 1 + 3 * blocks + len(depths)},  # stem, 3 per block, projections
        activations=1 + 3 * blocks,  # stem, 2 per branch, 1 after each addition
        identity=blocks - len(depths),
        projection=len(depths),
    )
    return Case(hf.BitModel(config), truth, (pixels(),))


def encodec_encoder() -> Case:
    ratios, per_ratio = (2, 2), 1
    config = hf.EncodecConfig(
        num_filters=4,
        upsampling_ratios=list(ratios),
        num_residual_layers=per_ratio,
        hidden_size=16,
        num_lstm_layers=1,
        codebook_dim=16,
    )
    units = len(ratios) * per_ratio
    truth = Truth(
        norms={},  # weight norm works on weights
        activations=2 * units + len(ratios) + 1,  # ELUs: 2 per unit, 1 per downsampling, 1 last
        identity=1,  # around the LSTM, itself one weighted operation
        projection=units,  # the shortcut is a 1x1 convolution
    )
    network = hf.EncodecModel(config).encoder
    return Case(network, truth, (torch.randn(2, 1, 64),))


def vitmatte() -> Case:
    depths = (1, 1, 2)
    backbone = hf.ConvNextConfig(
        hidden_sizes=[8, 8, 16], depths=list(depths), num_stages=3, out_features=["stage3"]
    )
    config = hf.VitMatteConfig(
        backbone_config=backbone,
        hidden_size=16,
        convstream_hidden_sizes=[4, 6, 8],
        fusion_hidden_sizes=[16, 8, 8, 4],
    )
    truth = Truth(
        # the backbone as ConvNeXt (its last norm is the one of the feature map);
        # 3 convolutions for detail, 4 of fusion, 1 in the head
        norms={"layer": 1 + (len(depths) - 1) + sum(depths) + 1, "batch": 3 + 4 + 1},
        activations=sum(depths) + (3 + 4 + 1) + 1,  # and the sigmoid that makes the matte
        inline_activations=1,
        identity=sum(depths),
        # Like a U-Net: the decoder is joined by the details at 1/8, 1/4, 1/2 and by the image. The
        # first join is none (the 1/8 details are no ancestor of the backbone's features); at the
        # other three the details are, since the next coarser ones were computed from them.
        concat=3,
    )
    return Case(hf.VitMatteForImageMatting(config), truth, (pixels(64),))


# Vision transformers ------------------------------------------------------------------------------


def vit() -> Case:
    layers = 3
    config = hf.ViTConfig(
        hidden_size=16,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=24,
        image_size=32,
        patch_size=8,
    )
    truth = Truth(
        norms={"layer": 2 * layers + 1},  # before attention and MLP, and at the end
        activations=layers + 1,  # GELUs and the pooler's tanh
        identity=2 * layers,  # class token and positions are parameters
    )
    return Case(hf.ViTModel(config), truth, (pixels(),))


def dinov2(swiglu: bool) -> Case:
    layers = 2
    config = hf.Dinov2Config(
        hidden_size=16,
        num_hidden_layers=layers,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
        use_swiglu_ffn=swiglu,
        drop_path_rate=0.2,
    )
    truth = Truth(
        norms={"layer": 2 * layers + 1},
        activations=layers,
        gates=layers if swiglu else 0,
        identity=2 * layers,  # LayerScale weighs the branch, it is no weighted operation
    )
    return Case(hf.Dinov2Model(config), truth, (pixels(),))


def dinov2_gelu() -> Case:
    return dinov2(swiglu=False)


def dinov2_swiglu() -> Case:
    return dinov2(swiglu=True)


def swin() -> Case:
    depths = (2, 2)
    config = hf.SwinConfig(
        image_size=32,
        patch_size=2,
        embed_dim=8,
        depths=list(depths),
        num_heads=[2, 2],
        window_size=4,
        drop_path_rate=0.1,
    )
    merges = len(depths) - 1
    truth = Truth(
        norms={"layer": 1 + 2 * sum(depths) + merges + 1},  # patches, blocks, merges, end
        activations=sum(depths),
        # Position bias and window mask hold no signal; merging concatenates four equal slices.
        identity=2 * sum(depths),
    )
    return Case(hf.SwinModel(config), truth, (pixels(),))


def swinv2() -> Case:
    depths = (2, 2)
    config = hf.Swinv2Config(
        image_size=32,
        patch_size=2,
        embed_dim=8,
        depths=list(depths),
        num_heads=[2, 2],
        window_size=4,
        drop_path_rate=0.1,
    )
    merges = len(depths) - 1
    truth = Truth(
        norms={"layer": 1 + 2 * sum(depths) + merges + 1},
        inline=2 * sum(depths),  # cosine attention: F.normalize of query and key
        # The GELU of each block. The ReLU and the sigmoid of the position bias see nothing but
        # a table of coordinates: no signal of the network passes there.
        activations=sum(depths),
        identity=2 * sum(depths),
    )
    return Case(hf.Swinv2Model(config), truth, (pixels(),))


def swin2sr() -> Case:
    depths = (2, 1)
    config = hf.Swin2SRConfig(
        image_size=32,
        embed_dim=8,
        depths=list(depths),
        num_heads=[2, 2],
        window_size=4,
        drop_path_rate=0.0,
    )
    truth = Truth(
        norms={"layer": 1 + 2 * sum(depths) + 1},  # patches, blocks, end
        inline=2 * sum(depths),  # cosine attention, as in Swinv2
        activations=sum(depths),
        # two per block, one around each stage, one around all of them
        identity=2 * sum(depths) + len(depths) + 1,
    )
    return Case(hf.Swin2SRModel(config), truth, (pixels(),))


def segformer_parts() -> tuple[hf.SegformerConfig, Truth]:
    depths, ratios = (2, 1, 1), (4, 2, 1)
    config = hf.SegformerConfig(
        num_encoder_blocks=3,
        depths=list(depths),
        sr_ratios=list(ratios),
        hidden_sizes=[8, 8, 16],
        num_attention_heads=[1, 2, 2],
        patch_sizes=[7, 3, 3],
        strides=[4, 2, 2],
        mlp_ratios=[2, 2, 2],
        decoder_hidden_size=8,
        num_labels=3,
    )
    reduced = sum(n for n, ratio in zip(depths, ratios, strict=True) if ratio > 1)
    truth = Truth(
        # per stage: patches and end; per layer: two, and one for reduced keys
        norms={"layer": 2 * len(depths) + 2 * sum(depths) + reduced},
        activations=sum(depths),
        identity=2 * sum(depths),
    )
    return config, truth


def segformer() -> Case:
    config, truth = segformer_parts()
    return Case(hf.SegformerModel(config), truth, (pixels(),))


def segformer_segmentation() -> Case:
    config, truth = segformer_parts()
    truth = Truth(
        norms={**truth.norms, "batch": 1},  # the decode head's
        activations=truth.activations + 1,
        identity=truth.identity,
        concat=0,  # the head joins *projections* of the stages: none of them is an own ancestor
    )
    return Case(hf.SegformerForSemanticSegmentation(config), truth, (pixels(),))


def poolformer() -> Case:
    depths = (2, 1)
    config = hf.PoolFormerConfig(
        depths=list(depths),
        hidden_sizes=[8, 12],
        num_encoder_blocks=2,
        patch_sizes=[7, 3],
        strides=[4, 2],
        padding=[2, 1],
        drop_path_rate=0.1,
    )
    truth = Truth(
        norms={"group": 2 * sum(depths)},
        activations=sum(depths),
        # x + pool(norm(x)) without a weight in the branch, and x + mlp(norm(x)).
        identity=2 * sum(depths),
        plain_sums=sum(depths),  # pool(x) - x inside the pooling is a high-pass filter
    )
    return Case(hf.PoolFormerModel(config), truth, (pixels(),))


def levit() -> Case:
    depths = (2, 1)
    config = hf.LevitConfig(
        image_size=32,
        hidden_sizes=[16, 24],
        num_attention_heads=[2, 3],
        depths=list(depths),
        key_dim=[4, 4],
        attention_ratio=[2, 2],
        mlp_ratio=[2, 2],
        down_ops=[["Subsample", 4, 4, 4, 2, 2]],
    )
    layers, downs = sum(depths), len(depths) - 1
    truth = Truth(
        # stem: 4; per layer: attention 2, MLP 2; downsampling: attention 3, MLP 2
        norms={"batch": 4 + 4 * layers + 5 * downs},
        activations=3 + 2 * layers + 2 * downs,  # hard-swish: stem 3, then 1 per part
        identity=2 * layers + downs,  # the attention that subsamples has no skip, its MLP has
    )
    return Case(hf.LevitModel(config), truth, (pixels(),))


def cvt() -> Case:
    depths = (1, 2)
    config = hf.CvtConfig(
        patch_sizes=[7, 3],
        patch_stride=[4, 2],
        patch_padding=[2, 1],
        embed_dim=[8, 16],
        num_heads=[1, 2],
        depth=list(depths),
        mlp_ratio=[2.0, 2.0],
        attention_drop_rate=[0.0, 0.0],
        drop_rate=[0.0, 0.0],
        drop_path_rate=[0.0, 0.1],
        qkv_bias=[True, True],
        cls_token=[False, True],
        qkv_projection_method=["dw_bn", "dw_bn"],
        kernel_qkv=[3, 3],
        padding_kv=[1, 1],
        stride_kv=[2, 2],
        padding_q=[1, 1],
        stride_q=[1, 1],
    )
    truth = Truth(
        # layer: per stage 1, per layer 2; batch: the convolutional projections of q, k and v
        norms={"layer": len(depths) + 2 * sum(depths), "batch": 3 * sum(depths)},
        activations=sum(depths),
        identity=2 * sum(depths),
        # The class token is split off before the convolution and put back after it. The tokens it
        # joins were not computed from it: it is their sibling, not their ancestor.
        concat=0,
    )
    return Case(hf.CvtModel(config), truth, (pixels(),))


# Language and speech ------------------------------------------------------------------------------


def bert_sized(config: type, **more: object) -> hf.PretrainedConfig:
    sizes = {"vocab_size": 32, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24}
    return config(**{**sizes, "num_hidden_layers": 3, **more})


def bert_truth(layers: int) -> Truth:
    # Post-norm: 1 after the embeddings, 2 per layer; GELU per layer and the pooler's tanh.
    # Word, type and position embeddings are added: no skip.
    return Truth(norms={"layer": 1 + 2 * layers}, activations=layers + 1, identity=2 * layers)


def bert() -> Case:
    return Case(hf.BertModel(bert_sized(hf.BertConfig)), bert_truth(3), (tokens(),))


def roberta() -> Case:
    # Its position ids are counted from the input's ids (those that are no padding), so that here
    # the position embedding does descend from the input: one weighted operation on either side.
    return Case(hf.RobertaModel(bert_sized(hf.RobertaConfig)), bert_truth(3), (tokens(),))


def albert() -> Case:
    config = bert_sized(hf.AlbertConfig, embedding_size=8, hidden_act="gelu_new")
    # One layer's weights, executed three times. In NewGELU, x + 0.044 x^3 is no skip.
    truth = Truth(norms={"layer": 7}, activations=4, identity=6, plain_sums=3)
    return Case(hf.AlbertModel(config), truth, (tokens(),), {"attention_mask": padded_mask()})


def padded_mask() -> torch.Tensor:
    mask = torch.ones(2, 7, dtype=torch.long)
    mask[1, 5:] = 0
    return mask


def distilbert() -> Case:
    config = hf.DistilBertConfig(vocab_size=32, dim=16, n_heads=2, hidden_dim=24, n_layers=2)
    truth = Truth(norms={"layer": 1 + 2 * 2}, activations=2, identity=2 * 2)
    return Case(hf.DistilBertModel(config), truth, (tokens(),), {"attention_mask": padded_mask()})


def fnet() -> Case:
    config = hf.FNetConfig(vocab_size=32, hidden_size=16, num_hidden_layers=2, intermediate_size=24)
    # As BERT, with a Fourier transform for attention: x + Re(fft(x)), a branch without a weight.
    truth = Truth(norms={"layer": 5}, activations=3, identity=4, plain_sums=2)  # 2: NewGELU
    return Case(hf.FNetModel(config), truth, (tokens(),))


def deberta_v2() -> Case:
    layers = 2
    config = bert_sized(
        hf.DebertaV2Config,
        num_hidden_layers=layers,
        relative_attention=True,
        pos_att_type=["p2c", "c2p"],
        max_position_embeddings=32,
    )
    truth = Truth(
        norms={"layer": 1 + 2 * layers},
        activations=layers,  # no pooler
        identity=2 * layers,
        # Disentangled attention (He et al. 2021) adds scores, q k + (q P + P k) with P from
        # parameters. They are similarities, no versions of the signal they were made from: a
        # product of two signals does not reshape, slice, pool or rescale either. No skips.
        plain_sums=2 * layers,
    )
    return Case(hf.DebertaV2Model(config), truth, (tokens(),))


def xlnet() -> Case:
    layers = 2
    config = hf.XLNetConfig(vocab_size=32, d_model=16, n_layer=layers, n_head=2, d_inner=24)
    truth = Truth(
        norms={"layer": 2 * layers},
        activations=layers,
        identity=2 * layers,
        plain_sums=layers,  # Transformer-XL's scores, (q + u) k + (q + v) R: as DeBERTa's
    )
    return Case(hf.XLNetModel(config), truth, (tokens(),))


def convbert() -> Case:
    layers = 2
    config = bert_sized(hf.ConvBertConfig, num_hidden_layers=layers, embedding_size=16)
    truth = Truth(
        norms={"layer": 1 + 2 * layers},
        activations=layers,
        identity=2 * layers,
        # Half of the heads attend, half convolve, side by side: neither half is made of the other.
        concat=0,
    )
    return Case(hf.ConvBertModel(config), truth, (tokens(),))


def gpt2() -> Case:
    layers = 3
    config = hf.GPT2Config(vocab_size=32, n_embd=16, n_layer=layers, n_head=2, n_positions=16)
    truth = Truth(
        norms={"layer": 2 * layers + 1},
        activations=layers,  # NewGELU: a leaf that calls tanh, one activation
        identity=2 * layers,
        plain_sums=layers,  # x + 0.044 x^3 inside it
    )
    return Case(hf.GPT2Model(config), truth, (tokens(),), {"use_cache": False})


def gpt_neox() -> Case:
    layers = 2
    config = bert_sized(hf.GPTNeoXConfig, num_hidden_layers=layers, hidden_size=32)
    truth = Truth(
        norms={"layer": 2 * layers + 1},
        activations=layers,
        # Parallel residual, mlp + attention + x: the first sum joins two equals (two weighted
        # operations each), the second is the skip.
        identity=layers,
        plain_sums=layers + 2 * layers,  # that first sum, and rotary query and key
    )
    return Case(hf.GPTNeoXModel(config), truth, (tokens(),), {"use_cache": False})


def gptj() -> Case:
    layers = 2
    config = hf.GPTJConfig(
        vocab_size=32, n_embd=16, n_layer=layers, n_head=2, n_positions=16, rotary_dim=4
    )
    truth = Truth(
        norms={"layer": layers + 1},  # attention and MLP share one
        activations=layers,
        identity=layers,  # (attention + mlp) + x
        plain_sums=layers + 2 * layers + layers,  # parallel sum, rotary, NewGELU
    )
    return Case(hf.GPTJModel(config), truth, (tokens(),), {"use_cache": False})


def cohere() -> Case:
    layers = 2
    config = bert_sized(hf.CohereConfig, num_hidden_layers=layers, num_key_value_heads=1)
    truth = Truth(
        norms={"layer": layers + 1},  # written by hand, mean and variance
        activations=layers,
        gates=layers,
        # Parallel too, but (x + attention) + mlp: both sums join the stream with a branch.
        identity=2 * layers,
        # rotary; the layer norm's x - mean(x) is a centring, computed twice
        plain_sums=2 * layers + 2 * (layers + 1),
    )
    return Case(hf.CohereModel(config), truth, (tokens(),), {"use_cache": False})


def llama_like(config: type, model: type, per_layer: int = 2, **more: object) -> Case:
    layers = 2
    settings = bert_sized(config, num_hidden_layers=layers, num_key_value_heads=1, **more)
    truth = Truth(
        norms={"rms": per_layer * layers + 1},  # a leaf written by hand
        activations=layers,
        gates=layers,  # SwiGLU (Gemma: GEGLU)
        identity=2 * layers,
        plain_sums=2 * layers,  # rotary query and key: q cos + rotate(q) sin
    )
    return Case(model(settings), truth, (tokens(),), {"use_cache": False})


def llama() -> Case:
    return llama_like(hf.LlamaConfig, hf.LlamaModel)


def mistral() -> Case:
    return llama_like(hf.MistralConfig, hf.MistralModel, sliding_window=4)


def qwen3() -> Case:
    # query and key are normalised per head, too
    return llama_like(hf.Qwen3Config, hf.Qwen3Model, per_layer=4, head_dim=8)


def gemma() -> Case:
    # (1 + weight) in its RMSNorm, embeddings scaled by the root of the width
    return llama_like(hf.GemmaConfig, hf.GemmaModel, head_dim=8)


def t5_sized(**more: object) -> tuple[hf.T5Config, int, int]:
    config = hf.T5Config(
        vocab_size=32, d_model=16, d_kv=8, d_ff=24, num_heads=2, num_layers=2,
        num_decoder_layers=3, **more,
    )  # fmt: skip
    return config, 2, 3


def t5() -> Case:
    config, encoder, decoder = t5_sized()
    truth = Truth(
        norms={"rms": (2 * encoder + 1) + (3 * decoder + 1)},
        activations=encoder + decoder,
        identity=2 * encoder + 3 * decoder,  # the relative position bias is a parameter
    )
    ids = {"input_ids": tokens(), "decoder_input_ids": tokens(5), "use_cache": False}
    return Case(hf.T5Model(config), truth, kwargs=ids)


def t5_gated() -> Case:
    config, encoder, decoder = t5_sized(feed_forward_proj="gated-gelu")
    truth = Truth(
        norms={"rms": (2 * encoder + 1) + (3 * decoder + 1)},
        activations=encoder + decoder,
        gates=encoder + decoder,  # GEGLU: NewGELU(a) * b
        identity=2 * encoder + 3 * decoder,
        plain_sums=encoder + decoder,  # NewGELU
    )
    ids = {"input_ids": tokens(), "decoder_input_ids": tokens(5), "use_cache": False}
    return Case(hf.T5ForConditionalGeneration(config), truth, kwargs=ids)


def whisper() -> Case:
    encoder, decoder = 2, 2
    config = hf.WhisperConfig(
        vocab_size=32,
        d_model=16,
        encoder_layers=encoder,
        decoder_layers=decoder,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=24,
        decoder_ffn_dim=24,
        num_mel_bins=8,
        max_source_positions=10,
        max_target_positions=16,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    truth = Truth(
        norms={"layer": (2 * encoder + 1) + (3 * decoder + 1)},
        activations=2 + encoder + decoder,  # two functional GELUs after the convolutions
        identity=2 * encoder + 3 * decoder,
    )
    inputs = {
        "input_features": torch.randn(2, 8, 20),
        "decoder_input_ids": tokens(5),
        "use_cache": False,
    }
    return Case(hf.WhisperModel(config), truth, kwargs=inputs)


def wav2vec2() -> Case:
    layers, convolutions = 2, 2
    config = hf.Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=24,
        conv_dim=[8] * convolutions,
        conv_stride=[2] * convolutions,
        conv_kernel=[3] * convolutions,
        num_feat_extract_layers=convolutions,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
        apply_spec_augment=False,
        layerdrop=0.0,
    )
    truth = Truth(
        # group: after the first convolution only; layer: features, start, and two per layer
        norms={"group": 1, "layer": 2 + 2 * layers},
        activations=convolutions + 1 + layers,
        # The "position embedding" is a convolution of the signal itself: x + gelu(conv(x)).
        identity=1 + 2 * layers,
    )
    return Case(hf.Wav2Vec2Model(config), truth, (torch.randn(2, 200),))


def mamba() -> Case:
    layers = 2
    config = hf.MambaConfig(
        vocab_size=32, hidden_size=16, state_size=4, num_hidden_layers=layers, time_step_rank=2
    )
    truth = Truth(
        norms={"rms": layers + 1},
        activations=3
        * layers,  # SiLU after the convolution, softplus of the step, SiLU of the gate
        # The last SiLU is the gate; the softplus multiplies B as well, and Gu & Dao call it one.
        gates=None,
        identity=layers,
        # Inside the mixer the definition does not settle what is a skip: y = C h + D u has one (D
        # "can be viewed as a skip connection"), the recurrence h = A h + B u runs along time.
        arguable="layers.*.mixer*",
        plain_sums=(1 + 7) * layers,  # D u, and one sum per time step
    )
    return Case(hf.MambaModel(config), truth, (tokens(),), {"use_cache": False})


FAMILIES: tuple[Callable[[], Case], ...] = (
    resnet_basic,
    resnet_bottleneck,
    convnext,
    convnextv2,
    mobilenet_v1,
    mobilenet_v2,
    efficientnet,
    regnet_x,
    regnet_y,
    bit_preactivation,
    bit_bottleneck,
    encodec_encoder,
    vitmatte,
    vit,
    dinov2_gelu,
    dinov2_swiglu,
    swin,
    swinv2,
    swin2sr,
    segformer,
    segformer_segmentation,
    poolformer,
    levit,
    cvt,
    bert,
    roberta,
    albert,
    distilbert,
    fnet,
    deberta_v2,
    xlnet,
    convbert,
    gpt2,
    gpt_neox,
    gptj,
    cohere,
    llama,
    mistral,
    qwen3,
    gemma,
    t5,
    t5_gated,
    whisper,
    wav2vec2,
    mamba,
)
