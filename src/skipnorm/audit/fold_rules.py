"""What lint says of norms that can be folded into the linear maps around them."""

from collections.abc import Iterator

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from skipnorm.audit.calls import LinearCall, NormCall
from skipnorm.audit.finding import Finding
from skipnorm.audit.parts import Parts, takers_of

__all__ = ["foldable_batch_norm", "foldable_gain"]

_FOLDABLE = (
    nn.Linear,
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)


def foldable_gain(parts: Parts) -> Iterator[Finding]:
    """A norm whose gain goes to linear maps alone: they can hold it."""
    for norm in parts.norms.values():
        maps = _maps_behind(parts, norm)
        if norm.gain is None or not maps or len(norm.varies) != 1:
            continue
        if parts.trace.runs(norm.site.module) > 1 or not parts.trace.own(norm.gain):
            continue
        shift = norm.shift is not None and all(each.biased and not each.padded for each in maps)
        stays = norm.shift is not None and not shift
        if stays and (norm.step.opaque or bool((norm.gain == 0).any())):
            continue  # what stays would have to be divided by the gain
        parameters = norm.gain.numel()
        if shift and norm.shift is not None:
            parameters += norm.shift.numel()
        yield _foldable(norm, maps, shift=shift, parameters=parameters)


def _foldable(norm: NormCall, maps: list[LinearCall], *, shift: bool, parameters: int) -> Finding:
    names = ", ".join(each.path for each in maps)
    folded = "W <- W diag(gain)" + (", b <- b + W shift (with the old W)" if shift else "")
    border = (
        ""
        if shift or norm.shift is None
        else "; the shift stays, divided by the gain, as a map has no bias or pads with zeros"
    )
    whole = not norm.step.opaque and (shift or norm.shift is None)
    remove = (
        f", then sn.operate(network, sn.RemoveAffine(where={norm.site.name!r}), inputs=x)"
        if whole
        else ", then freeze what was folded where it does nothing"
    )
    return Finding(
        rule="foldable-gain",
        severity="note",
        sites=(norm.site.name, *(each.path for each in maps)),
        reason="Nothing but linear maps takes what the norm returns: the function is the same with its gain"
        + (" and shift" if shift else "")
        + " multiplied into their weights, though it trains differently.",
        source="W (g * x + s) = (W diag(g)) x + W s",
        fix=f"in {names}: {folded}{border}{remove}",
        parameters=parameters,
    )


def _maps_behind(parts: Parts, norm: NormCall) -> list[LinearCall]:
    """The linear maps that take the norm's output, channel by channel; none where anything else takes it."""
    takers = takers_of(parts.trace, norm.output)
    maps = [parts.maps.get(step) for step in takers or ()]
    found = [each for each in maps if each is not None]
    if len(found) != len(maps) or norm.gain is None:
        return []
    return found if all(_meets(parts, norm, each) for each in found) else []


def _meets(parts: Parts, norm: NormCall, taker: LinearCall) -> bool:
    node = taker.input.node
    (varies, *more) = norm.varies
    wanted = len(taker.input.shape) - (
        1 if taker.kind in ("linear", "addmm") else taker.weight.dim() - 1
    )
    return (
        not more
        and node is not None
        and norm.gain is not None
        and node.channels == wanted
        and norm.input.node is not None
        and norm.output.channels == varies
        and taker.features("in") == norm.gain.numel() == norm.input.shape[varies]
        and parts.trace.own(taker.weight)
    )


def foldable_batch_norm(parts: Parts) -> Iterator[Finding]:
    """A batch norm that `FoldNorm` would fold into the linear map before it."""
    trace = parts.trace
    for norm in parts.norms.values():
        module, node = norm.module, norm.input.node
        before = trace.made.get(node) if node is not None else None
        layer = parts.maps.get(before) if before is not None else None
        if norm.site.family != "batch" or not isinstance(module, _NormBase) or layer is None:
            continue
        if node is None or trace.only_taker(node) is None or not norm.keeps_statistics:
            continue
        if trace.runs(norm.site.module) > 1 or not _can_hold(parts, layer):
            continue
        learned = sum(each.numel() for each in norm.affine)
        added = 0 if layer.biased else layer.features("out")
        yield Finding(
            rule="foldable-batch-norm",
            severity="note",
            sites=(norm.site.name, layer.path),
            reason="In evaluation the norm is a fixed scale and shift of what one linear map returns: folded into its "
            "weights it costs nothing.",
            source="Jacob et al. 2018, section 3.2",
            fix=f"sn.operate(network.eval(), sn.FoldNorm(where={norm.site.name!r}), inputs=x)",
            parameters=learned - added,
        )


def _can_hold(parts: Parts, layer: LinearCall) -> bool:
    module = layer.step.call.module
    grouped = layer.kind == "transposed" and layer.step.named.get("groups", 1) > 1
    own = isinstance(module, _FOLDABLE) and module._parameters.get("weight") is layer.weight
    return (
        own and not grouped and parts.trace.own(layer.weight) and parts.trace.runs(layer.path) == 1
    )
