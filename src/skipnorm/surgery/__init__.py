"""Alterations of any network: take out, swap, move and add norms and skips; get an altered copy."""

from skipnorm.surgery.blocks import AddSkips, PermuteBlocks
from skipnorm.surgery.fixed import FreezeAffine, FreezeStatistics, RemoveAffine
from skipnorm.surgery.fold import FoldNorm
from skipnorm.surgery.insert import InsertNorm
from skipnorm.surgery.move import MoveNorm
from skipnorm.surgery.noise import NoisyNorm
from skipnorm.surgery.operate import operate
from skipnorm.surgery.operation import Operation
from skipnorm.surgery.record import Done, operations_of, original
from skipnorm.surgery.skips import CutSkips, DropBranches, ScaleSkips
from skipnorm.surgery.standardize import StandardizeWeights
from skipnorm.surgery.swap import SwapNorm
from skipnorm.surgery.weights import Reinitialize

__all__ = [
    "AddSkips",
    "CutSkips",
    "Done",
    "DropBranches",
    "FoldNorm",
    "FreezeAffine",
    "FreezeStatistics",
    "InsertNorm",
    "MoveNorm",
    "NoisyNorm",
    "Operation",
    "PermuteBlocks",
    "Reinitialize",
    "RemoveAffine",
    "ScaleSkips",
    "StandardizeWeights",
    "SwapNorm",
    "operate",
    "operations_of",
    "original",
]
