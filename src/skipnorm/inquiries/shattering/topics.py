"""What the claims are about: rival ones share a topic."""

__all__ = [
    "ASSUMPTION",
    "BETWEEN",
    "FADING",
    "FADING_RESIDUAL",
    "FADING_RESIDUAL_BN",
    "MOMENTUM",
    "NOISE",
    "PERFORMANCE",
    "PROCESS",
    "SKIPS",
    "WHICH",
]

SKIPS = "Do skips raise the autocorrelation of gradients?"
NOISE = "Is the gradient of a deep network noise?"
BETWEEN = "What lies between brown and white noise?"
PROCESS = "What does the gradient of a wide network do along a line?"
ASSUMPTION = "Two samples are both on in a quarter of cases: does the assumption hold?"
FADING = "How fast does the correlation between samples fade in plain networks?"
FADING_RESIDUAL = "How fast does it fade in residual networks without norm?"
FADING_RESIDUAL_BN = "How fast does it fade in residual networks with batch norm?"
WHICH = "Which likeness of gradients counts, and is more of it better?"
PERFORMANCE = "Does a higher autocorrelation go with better performance?"
MOMENTUM = "Does momentum lose its advantage where gradients shatter?"
