"""The Jacobian between two places as a linear map: what it does to a change, and its transpose to a covector."""

import torch
from torch import Tensor

from skipnorm.errors import ProbeError
from skipnorm.probes.jacobian.places import Span

__all__ = ["Jacobian"]

_ROOM = 2**25


class Jacobian:
    """Jacobians of one or several samples, or of the whole batch where samples are mixed.

    Vectors are (maps, length): a map for each sample that is looked at, or one for the whole batch.

    Attributes:
        whole: whether it is the batch that is one map.
        maps: how many there are.
        rows: the length of the output of a map.
        columns: that of its input.
        dtype: the precision the network computes in.
    """

    def __init__(self, span: Span, samples: int) -> None:
        self._span = span
        self._end, self._start = span.end.copy, span.start.copy
        self._pull: tuple[Tensor, Tensor] | None = None
        self.dtype = self._end.dtype
        lengths = len(self._start), len(self._end)
        self.whole = lengths[0] != lengths[1] or (lengths[0] > 1 and self._mixes())
        self.maps = 1 if self.whole else min(samples, lengths[0])
        self.rows = self._end.numel() // (1 if self.whole else lengths[1])
        self.columns = self._start.numel() // (1 if self.whole else lengths[0])

    def pull(self, covectors: Tensor) -> Tensor:
        """The transpose applied to (maps, rows): (maps, columns)."""
        return self._narrow(self._pulled(self._wide(covectors, self._end)), self.columns)

    def push(self, vectors: Tensor) -> Tensor:
        """The Jacobian applied to (maps, columns): (maps, rows), by differentiating the pull-back once more."""
        wide = self._wide(vectors, self._start)
        if self._pull is None:
            dummy = torch.zeros_like(self._end, requires_grad=True)
            try:
                (pulled,) = torch.autograd.grad(
                    [self._end], [self._span.start.edge], [dummy],
                    create_graph=True, allow_unused=True,
                )  # fmt: skip
            except RuntimeError as error:
                raise ProbeError(
                    "expected operations that can be differentiated twice, found one that cannot: "
                    f"{error}. Take method='exact'."
                ) from error
            self._pull = (dummy, torch.zeros_like(self._start) if pulled is None else pulled)
        dummy, pulled = self._pull
        if not pulled.requires_grad:
            return vectors.new_zeros(self.maps, self.rows)
        (pushed,) = torch.autograd.grad(pulled, dummy, wide, retain_graph=True, allow_unused=True)
        found = torch.zeros_like(self._end) if pushed is None else pushed
        return self._narrow(found, self.rows)

    def matrices(self) -> Tensor:
        """Every map in full, (maps, rows, columns), a row at a time or several."""
        step = max(1, _ROOM // max(self._start.numel(), self._end.numel()))
        found = []
        for start in range(0, self.rows, step):
            stop = min(start + step, self.rows)
            hot = torch.eye(self.rows, dtype=self._end.dtype, device=self._end.device)[start:stop]
            covectors = torch.stack(
                [self._wide(row.expand(self.maps, -1), self._end) for row in hot]
            )
            found.append(torch.stack([
                self._narrow(pulled, self.columns) for pulled in self._pulled_many(covectors)
            ], dim=1))  # fmt: skip
        return torch.cat(found, dim=1)

    def _pulled(self, covector: Tensor) -> Tensor:
        (pulled,) = torch.autograd.grad(
            [self._end], [self._span.start.edge], [covector], retain_graph=True, allow_unused=True
        )
        return torch.zeros_like(self._start) if pulled is None else pulled.detach()

    def _pulled_many(self, covectors: Tensor) -> list[Tensor]:
        try:
            (pulled,) = torch.autograd.grad(
                [self._end], [self._span.start.edge], [covectors],
                retain_graph=True, allow_unused=True, is_grads_batched=True,
            )  # fmt: skip
        except Exception:  # an operation that cannot be mapped: one after the other
            return [self._pulled(covector) for covector in covectors]
        if pulled is None:
            return [torch.zeros_like(self._start) for _ in covectors]
        return list(pulled.detach())

    def _mixes(self) -> bool:
        """Whether a covector at the first sample's output reaches another sample's input."""
        generator = torch.Generator().manual_seed(0)
        covector = torch.zeros_like(self._end)
        drawn = torch.randn(self._end[0].shape, generator=generator, dtype=torch.float64)
        covector[0] = drawn.to(covector)
        return bool(
            self._pulled(covector)[1:].nan_to_num(0.0).any()
        )  # 0 x NaN is NaN, mixed or not

    def _wide(self, vectors: Tensor, like: Tensor) -> Tensor:
        """Vectors of the samples looked at, as a tensor of the whole batch."""
        wide = torch.zeros_like(like)
        if self.whole:
            return vectors.reshape(like.shape).to(like)
        wide[: self.maps] = vectors.reshape(self.maps, *like.shape[1:]).to(like)
        return wide

    def _narrow(self, wide: Tensor, length: int) -> Tensor:
        return wide.reshape(1, -1) if self.whole else wide[: self.maps].reshape(self.maps, length)
