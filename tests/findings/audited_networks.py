"""Networks whose answer is known, as a user would write them: built by functions without arguments."""

import torch
from torch import nn

WIDTH = 48


class Block(nn.Module):
    """``x + factor * branch(x)``; a factor of 0 sabotages the branch."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor
        self.norm, self.weight = nn.BatchNorm1d(WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.factor * self.weight(self.norm(x).relu())


def sabotaged() -> nn.Module:
    """Three blocks, of which the second adds nothing."""
    blocks = (Block(), Block(0.0), Block())
    return nn.Sequential(nn.Linear(64, WIDTH), *blocks, nn.Linear(WIDTH, 10))


def decorated() -> nn.Module:
    """A sigmoid network that needs its norms, with one norm too many: twice in a row."""
    layers: list[nn.Module] = []
    entering = 64
    for number in range(6):
        layers += [nn.Linear(entering, WIDTH), nn.BatchNorm1d(WIDTH)]
        layers += [nn.BatchNorm1d(WIDTH)] if number == 2 else []
        layers += [nn.Sigmoid()]
        entering = WIDTH
    return nn.Sequential(*layers, nn.Linear(WIDTH, 10))


def hugging_face_resnet() -> nn.Module:
    """A ResNet of transformers from a small configuration: two stages of basic blocks."""
    from transformers import ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(
        num_channels=1,
        embedding_size=16,
        hidden_sizes=[16, 32],
        depths=[2, 2],
        layer_type="basic",
        downsample_in_first_stage=False,
        num_labels=10,
    )
    return ResNetForImageClassification(config)


def hugging_face_vit() -> nn.Module:
    """A ViT of transformers from a small configuration: four pre-norm layers on patches of 2 x 2."""
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        image_size=8,
        patch_size=2,
        num_channels=1,
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=64,
        num_labels=10,
    )
    return ViTForImageClassification(config)
