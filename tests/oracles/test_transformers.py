"""Third-party models against hooks registered by hand.

Source of truth: torch's own module hooks. These models call their norms and activations once and write
into none of their inputs or outputs, so that a module hook sees the tensor that passes, and a tensor
hook on it its gradient. A skip is read where a module receives or returns its sum.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import transformers as hf
from torch import Tensor, nn

import skipnorm as sn

Numbers = dict[str, tuple[float, float]]


@dataclass
class Model:
    """A model, its batch, and by site of a skip the module and side where its sum is met."""

    network: nn.Module
    batch: dict[str, Tensor]
    sums: dict[str, str]


def tokens(length: int = 6) -> Tensor:
    return torch.randint(3, 30, (3, length))


def bert() -> Model:
    config = hf.BertConfig(
        vocab_size=32, hidden_size=8, num_attention_heads=2, intermediate_size=12,
        num_hidden_layers=2, num_labels=3,
    )  # fmt: skip
    ids, mask = tokens(), torch.ones(3, 6, dtype=torch.long)
    mask[1, 4:] = 0
    batch = {"input_ids": ids, "attention_mask": mask, "labels": torch.tensor([0, 2, 1])}
    blocks = [f"bert.encoder.layer.{number}" for number in range(2)]
    sums = {}
    for block in blocks:
        for part in ("attention.output", "output"):
            sums[f"{block}.{part}.add"] = f"{block}.{part}.LayerNorm:input"
    return Model(hf.BertForSequenceClassification(config), batch, sums)


def gpt2() -> Model:
    config = hf.GPT2Config(vocab_size=32, n_embd=8, n_layer=2, n_head=2, n_positions=8)
    ids = tokens()
    sums = {}
    for number, following in ((0, "transformer.h.1.ln_1"), (1, "transformer.ln_f")):
        block = f"transformer.h.{number}"
        sums |= {f"{block}.add": f"{block}.ln_2:input", f"{block}.add#2": f"{following}:input"}
    return Model(hf.GPT2LMHeadModel(config), {"input_ids": ids, "labels": ids.clone()}, sums)


def t5() -> Model:
    config = hf.T5Config(
        vocab_size=32, d_model=8, d_kv=4, d_ff=12, num_heads=2, num_layers=1,
        num_decoder_layers=1, decoder_start_token_id=0,
    )  # fmt: skip
    batch = {"input_ids": tokens(), "labels": tokens(4)}
    sums = {}
    for stack, layers in (("encoder", 2), ("decoder", 3)):
        for number in range(layers):
            block = f"{stack}.block.0.layer.{number}"
            sums[f"{block}.add"] = f"{block}:output"
    return Model(hf.T5ForConditionalGeneration(config), batch, sums)


def vit() -> Model:
    config = hf.ViTConfig(
        hidden_size=8, num_attention_heads=2, intermediate_size=12, num_hidden_layers=2,
        image_size=8, patch_size=4, num_labels=3,
    )  # fmt: skip
    batch = {"pixel_values": torch.randn(3, 3, 8, 8), "labels": torch.tensor([0, 2, 1])}
    return Model(hf.ViTForImageClassification(config), batch, {})


def resnet() -> Model:
    config = hf.ResNetConfig(
        embedding_size=4, hidden_sizes=[4, 8], depths=[2, 1], layer_type="basic", num_labels=3
    )
    batch = {"pixel_values": torch.randn(3, 3, 32, 32), "labels": torch.tensor([0, 2, 1])}
    blocks = ("stages.0.layers.0", "stages.0.layers.1", "stages.1.layers.0")
    sums = {f"resnet.encoder.{b}.add": f"resnet.encoder.{b}.activation:input" for b in blocks}
    return Model(hf.ResNetForImageClassification(config), batch, sums)


MODELS = (bert, gpt2, t5, vit, resnet)


def hooked(network: nn.Module, batch: dict[str, Tensor]) -> Numbers:
    """Mean square of value and gradient at the first input and output of every module."""
    values: dict[str, float] = {}
    gradients: dict[str, float] = {}

    def keep(place: str, found: Any) -> None:
        tensor = found[0] if isinstance(found, tuple) else found
        if isinstance(tensor, Tensor) and tensor.is_floating_point() and tensor.requires_grad:
            values[place] = float(tensor.detach().double().square().mean())
            tensor.register_hook(
                lambda g: gradients.update({place: float(g.double().square().mean())})
            )

    def entered(name: str) -> Callable[..., None]:
        return lambda module, args, kwargs: keep(
            f"{name}:input", args[0] if args else next(iter(kwargs.values()), None)
        )

    def left(name: str) -> Callable[..., None]:
        return lambda module, args, output: keep(f"{name}:output", output)

    for name, module in network.named_modules():
        module.register_forward_pre_hook(entered(name), with_kwargs=True)
        module.register_forward_hook(left(name))
    network(**batch).loss.backward()
    return {
        place: (value, gradients[place]) for place, value in values.items() if place in gradients
    }


@pytest.mark.parametrize("mode", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_values_and_gradients_are_those_of_hooks(model: Callable[[], Model], mode: bool) -> None:
    case = model()
    case.network.train(mode)
    torch.manual_seed(4)
    evidence = sn.measure(case.network, case.batch, probes=["moments", "gradient", "flow"])
    torch.manual_seed(4)
    numbers = hooked(case.network, case.batch)
    compared = 0
    for site in evidence.site.values:
        one = evidence.sel(site=site)
        places = {f"{one.module.item()}:input": "input", f"{one.module.item()}:output": "output"}
        if one.kind == "skip":
            places = {case.sums[site]: "output"} if site in case.sums else {}
        elif site != one.module and "#" in site:
            continue  # a module called several times: the hook keeps its last call
        for place, port in places.items():
            if place not in numbers:
                continue
            value, gradient = numbers[place]
            found = one.sel(port=port)
            assert float(found.mean_square) == pytest.approx(value, rel=1e-4), (site, port)
            assert float(found.gradient_mean_square) == pytest.approx(
                gradient, rel=1e-3, abs=1e-30
            ), (site, port)
            compared += 1
    assert set(case.sums) <= set(evidence.site.values)
    assert compared >= 8 + len(case.sums)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_gradient_checkpointing_changes_no_number(model: Callable[[], Model]) -> None:
    """The model's own switch, both kinds: another way to the same gradients."""
    case = model()
    if not case.network.supports_gradient_checkpointing:
        pytest.skip("the model has no such switch")
    case.network.train()
    plain = sn.measure(case.network, case.batch, probes=["moments", "gradient", "flow"])
    for reentrant in (False, True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # it was renamed
            case.network.gradient_checkpointing_enable({"use_reentrant": reentrant})
        again = sn.measure(case.network, case.batch, probes=["moments", "gradient", "flow"])
        assert list(again.site.values) == list(plain.site.values)
        for name in ("mean_square", "gradient_mean_square", "flow_branch"):
            found, expected = again[name].values, plain[name].values
            assert found == pytest.approx(expected, rel=1e-3, abs=1e-25, nan_ok=True), name


def test_the_loss_is_the_models_own() -> None:
    case = gpt2()
    case.network.eval()
    with torch.no_grad():
        expected = float(case.network(**case.batch).loss)
    evidence = sn.measure(case.network, case.batch, probes="gradient")
    assert float(evidence.attrs["loss"]) == pytest.approx(expected)


def test_wav2vec2_in_training() -> None:
    """It asks for the gradient of its input (`hidden_states.requires_grad = True`)."""
    config = hf.Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        conv_dim=[8], conv_stride=[4], conv_kernel=[8], num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2, mask_time_prob=0.0, num_feat_extract_layers=1,
    )  # fmt: skip
    network = hf.Wav2Vec2Model(config).train()
    evidence = sn.measure(
        network,
        {"input_values": torch.randn(2, 100)},
        loss=lambda outputs, _: outputs.last_hidden_state.square().sum(),
    )
    skips = evidence.sel(site=evidence.kind == "skip")
    assert skips.gradient_mean_square.sel(port="output").notnull().all()


def test_generation_under_alteration_is_that_of_the_edited_model() -> None:
    """Greedy decoding token by token: each step runs the altered network, not only the first.

    Truth: logits computed step by step by direct calls of the altered network, without cache.
    """
    from skipnorm.anatomy.alter import altered

    case = gpt2()
    network = case.network.eval()
    ids = tokens(3)[:1]
    anatomy = sn.anatomy(network, input_ids=ids, use_cache=False)
    cuts = {site.name: lambda at: at["shortcut"] for site in anatomy.skips if "h.1" in site.name}
    with altered(network, anatomy, cuts):
        expected = ids
        for _ in range(4):
            logits = network(input_ids=expected, use_cache=False).logits[:, -1]
            expected = torch.cat([expected, logits.argmax(-1, keepdim=True)], 1)
        found = network.generate(
            input_ids=ids, max_new_tokens=4, do_sample=False, use_cache=False, pad_token_id=0,
            eos_token_id=None, output_logits=True, return_dict_in_generate=True,
        )  # fmt: skip
        steps = [network(input_ids=expected[:, : 3 + n], use_cache=False) for n in range(4)]
    assert torch.equal(found.sequences, expected)
    for mine, theirs in zip(found.logits, steps, strict=True):
        torch.testing.assert_close(mine, theirs.logits[:, -1])
