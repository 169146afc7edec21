"""What is studied: plain PyTorch modules, built from frozen recipes.

The recipes themselves (:mod:`skipnorm.networks.recipe`) are read without torch.
"""
