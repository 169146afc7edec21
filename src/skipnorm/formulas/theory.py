"""What theory predicts: every published or derived prediction, as functions, on one screen.

numpy only, so that a figure can draw the prediction where torch is not installed.
"""

from skipnorm.formulas.explosion import (
    RELU_BATCHNORM_EXPLOSION_LIMIT,
    fuss_catalan_edge,
    linear_batchnorm_explosion_rate,
    log_gain_mean,
    log_gain_variance,
    max_trainable_depth,
    relu_batchnorm_explosion_rate,
    residual_batchnorm_gradient_ratio,
)
from skipnorm.formulas.kernels import (
    arc_cosine_kernel,
    arc_cosine_slope,
    batchnorm_residual_gradient_correlation,
    channel_variance_share,
    correlations,
    mean_centred_gradient_correlation,
    plain_gradient_correlation,
    residual_gradient_correlation,
)
from skipnorm.formulas.propagation import (
    RELU_MEAN,
    RELU_VARIANCE,
    direct_path_gradient,
    expected_path_length,
    nf_variance,
    residual_channel_squared_mean,
    residual_channel_variance,
    unnormalised_second_moment,
)
from skipnorm.formulas.quadrature import (
    gaussian_mean,
    mean_field_slope,
    nonlinearity_index,
    on_fraction,
    second_moment_gain,
    variance_gain,
)

__all__ = [
    "RELU_BATCHNORM_EXPLOSION_LIMIT",
    "RELU_MEAN",
    "RELU_VARIANCE",
    "arc_cosine_kernel",
    "arc_cosine_slope",
    "batchnorm_residual_gradient_correlation",
    "channel_variance_share",
    "correlations",
    "direct_path_gradient",
    "expected_path_length",
    "fuss_catalan_edge",
    "gaussian_mean",
    "linear_batchnorm_explosion_rate",
    "log_gain_mean",
    "log_gain_variance",
    "max_trainable_depth",
    "mean_centred_gradient_correlation",
    "mean_field_slope",
    "nf_variance",
    "nonlinearity_index",
    "on_fraction",
    "plain_gradient_correlation",
    "relu_batchnorm_explosion_rate",
    "residual_batchnorm_gradient_ratio",
    "residual_channel_squared_mean",
    "residual_channel_variance",
    "residual_gradient_correlation",
    "second_moment_gain",
    "unnormalised_second_moment",
    "variance_gain",
]
