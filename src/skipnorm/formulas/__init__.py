"""Pure tensor mathematics: knows nothing of networks.

The predictions in :mod:`skipnorm.formulas.theory` need numpy alone; everything else takes tensors.
"""
