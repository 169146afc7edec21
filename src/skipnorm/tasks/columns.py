"""Batches of any shape taken apart into columns, a tensor each with the samples first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skipnorm.errors import TaskError

if TYPE_CHECKING:
    import torch

__all__ = ["Columns"]


class Columns:
    """Samples as tensors by name, and the shape of a batch into which they go again."""

    def __init__(self, outline: Any, tensors: Mapping[str, torch.Tensor]) -> None:
        """``outline``: a batch with the names of its tensors in their places."""
        self.outline, self.tensors = outline, dict(tensors)

    def __len__(self) -> int:
        return min(len(values) for values in self.tensors.values())

    @property
    def targets(self) -> torch.Tensor | None:
        """The second of a pair, or the labels of a dict; None where there are none."""
        name = self.outline.get("labels") if isinstance(self.outline, dict) else None
        if isinstance(self.outline, tuple):
            name = self.outline[1]
        return self.tensors[name] if isinstance(name, str) else None

    def rows(self, chosen: NDArray[Any] | slice) -> Columns:
        """These samples alone."""
        import torch

        picked = chosen if isinstance(chosen, slice) else torch.from_numpy(np.asarray(chosen))
        return Columns(self.outline, {name: each[picked] for name, each in self.tensors.items()})

    def batch(self) -> Any:
        """All samples as one batch, real numbers in torch's default dtype."""
        import torch

        real = torch.get_default_dtype()
        return put(
            self.outline,
            {
                name: each.to(real) if each.is_floating_point() else each
                for name, each in self.tensors.items()
            },
        )

    @classmethod
    def of(cls, batches: Iterable[Any], limit: int | None, where: str) -> Columns:
        """All samples of these batches, or the first ``limit``; TaskError where they differ."""
        import torch

        outline: Any = None
        found: list[dict[str, torch.Tensor]] = []
        count = 0
        for number, batch in enumerate(batches):
            shape, tensors = apart(batch, where)
            outline = shape if outline is None else outline
            check_alike(shape, tensors, outline, found, f"{where}, batch {number}")
            found.append(tensors)
            count += len(next(iter(tensors.values())))
            if limit is not None and count >= limit:
                break
        if not count:
            raise TaskError(f"{where}: expected at least one batch with samples, found none.")
        joined = {name: torch.cat([each[name] for each in found]) for name in found[0]}
        return cls(outline, joined).rows(slice(limit))


def apart(batch: Any, where: str) -> tuple[Any, dict[str, torch.Tensor]]:
    """The outline of a batch, and its tensors by name."""
    if isinstance(batch, list) and len(batch) == 2:
        batch = tuple(batch)  # as DataLoader gives pairs
    if not isinstance(batch, Mapping) and not (isinstance(batch, tuple) and len(batch) == 2):
        found = f"{type(batch).__name__}{f' of {len(batch)}' if hasattr(batch, '__len__') else ''}"
        raise TaskError(
            f"{where}: expected batches as (inputs, targets) or as a dict that the network takes by "
            f"name, found {found}. Several inputs go into a tuple of their own."
        )
    tensors: dict[str, torch.Tensor] = {}
    return outlined(batch, "", tensors, where), tensors


def outlined(value: Any, name: str, tensors: dict[str, torch.Tensor], where: str) -> Any:
    """The value with names in place of its tensors, which are gathered on the way."""
    import torch

    if isinstance(value, Mapping):
        named = sorted(value.items(), key=lambda pair: str(pair[0]))
        return {key: outlined(each, f"{name}.{key}", tensors, where) for key, each in named}
    if isinstance(value, tuple | list):
        parts = (outlined(each, f"{name}.{at}", tensors, where) for at, each in enumerate(value))
        return tuple(parts)
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(value)
    if not isinstance(value, torch.Tensor) or not value.dim():
        raise TaskError(
            f"{where}: expected tensors with the samples first, found {type(value).__name__} at "
            f"{name or 'the top'!r}. Turn it into a tensor in the loader's collate_fn."
        )
    tensors[name] = value.detach().cpu().clone()  # loaders may write the next batch into this one
    return name


def check_alike(
    shape: Any,
    tensors: Mapping[str, torch.Tensor],
    outline: Any,
    before: list[dict[str, torch.Tensor]],
    where: str,
) -> None:
    """Refuse a batch that does not fit the first one, or itself."""
    lengths = {name: len(each) for name, each in tensors.items()}
    if shape != outline:
        raise TaskError(
            f"{where}: expected a batch built like the first, {outline}, found {shape}."
        )
    if len(set(lengths.values())) > 1:
        raise TaskError(f"{where}: expected one number of samples everywhere, found {lengths}.")
    for name, each in tensors.items():
        wanted = before[0][name] if before else each
        if each.shape[1:] != wanted.shape[1:] or each.dtype != wanted.dtype:
            raise TaskError(
                f"{where}: expected {tuple(wanted.shape[1:])} {wanted.dtype} at {name!r} as in the "
                f"first batch, found {tuple(each.shape[1:])} {each.dtype}. Pad or crop to one shape."
            )


def put(outline: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    """A batch again, from its outline."""
    if isinstance(outline, dict):
        return {key: put(each, tensors) for key, each in outline.items()}
    if isinstance(outline, tuple):
        return tuple(put(each, tensors) for each in outline)
    return tensors[outline]


def plain(tensors: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, NDArray[Any]]]:
    """Each tensor's bytes under its name, type and shape, which is what a hash is taken over."""
    import torch

    for name, each in tensors.items():
        raw = each.contiguous().flatten().view(torch.uint8).numpy()
        yield f"{name} {each.dtype} {tuple(each.shape)}", raw
