"""Jacobians of third-party families, against rows by plain autograd on the untouched network.

Truth: for images `torch.autograd.grad` of every output of one sample alone; for tokens the same with respect to
`inputs_embeds`, which the models take themselves. float64, eval mode, numpy's singular values.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from tests.coverage import checks
from tests.probes.test_shattering_families import CASES as NETWORKS
from tests.probes.test_shattering_families import SAMPLES, case

from skipnorm.probes.jacobian import jacobian

IMAGES = ("ResNet", "ConvNeXt", "BiT", "PoolFormer", "Swin", "ViT")
EMBEDDINGS = {
    "BERT": "body.bert.embeddings.word_embeddings",
    "GPT-2": "body.transformer.wte",
    "Llama": "body.model.embed_tokens",
    "T5": "body.shared",
}
CASES: dict[str, Callable] = {
    family: NETWORKS[family] for family in (*IMAGES, *EMBEDDINGS) if family != "T5"
}


def rows(outputs, point):
    flat = outputs.flatten()
    found = [torch.autograd.grad(value, point, retain_graph=True)[0].flatten() for value in flat]
    return torch.stack(found).numpy()


def by_hand(family, network, inputs, sample):
    alone = inputs[sample : sample + 1]
    if family in IMAGES:
        point = alone.clone().requires_grad_()
        return rows(network(point), point)
    table = dict(network.named_modules())[EMBEDDINGS[family]]
    point = table(alone).detach().requires_grad_()
    return rows(network(inputs_embeds=point), point)


@checks("jacobian", by="rows by plain autograd, numpy's singular values")
@pytest.mark.parametrize("method", ["exact", "lanczos"])
@pytest.mark.parametrize("family", CASES)
def test_spectrum_as_by_plain_autograd(family, method):
    network, (inputs, _) = case(family)
    start = "input" if family in IMAGES else EMBEDDINGS[family]
    found = jacobian(
        network, inputs, between=(start, "output"), samples=2, method=method, count=1, steps=80
    )
    assert found.coords["sample"] == ["0", "1"]
    for sample in range(2):
        expected = np.linalg.svd(by_hand(family, network, inputs, sample), compute_uv=False)
        largest = float(found.values["jacobian_largest"][0, sample])
        single = (
            1e-6 if family == "Llama" else 1e-8
        )  # its norm computes in float32 whatever it is given
        assert largest == pytest.approx(expected[0], rel=single)
        if method == "exact":
            square = float(found.values["jacobian_mean_square"][0, sample])
            assert square == pytest.approx((expected**2).mean(), rel=1e-8)


def test_a_transformer_block_by_its_path_as_by_calling_it():
    network, (inputs, _) = case("ViT")
    block = dict(network.named_modules())["body.vit.layers.1"]
    stream = []
    handle = block.register_forward_pre_hook(lambda module, args: stream.append(args[0].detach()))
    network(inputs)
    handle.remove()
    found = jacobian(network, inputs, modules="body.vit.layers.?", samples=1)
    point = stream[0][:1].clone().requires_grad_()
    out = block(point)
    expected = np.linalg.svd(rows(out[0] if isinstance(out, tuple) else out, point))[1]
    np.testing.assert_allclose(found.values["jacobian_singular_value"][1, 0], expected, rtol=1e-8)


def test_batch_statistics_make_a_resnet_one_map_of_the_batch():
    network, (inputs, _) = case("ResNet")
    point = inputs.clone().requires_grad_()
    found = jacobian(network.train(), inputs)
    assert found.coords["sample"] == ["batch"]
    values = found.values["jacobian_singular_value"][0, 0]
    network.train()
    expected = np.linalg.svd(rows(network(point), point), compute_uv=False)
    assert len(expected) == SAMPLES * 3
    np.testing.assert_allclose(values, expected, rtol=1e-8)
