"""What made a result: versions, machine and date, found without importing torch."""

import platform
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version

import skipnorm

LIBRARIES = ("torch", "numpy", "scipy", "xarray", "h5netcdf", "plotly", "scikit-learn", "mnist1d")


def provenance() -> dict[str, str]:
    """What a result was made with and when, ready for the attributes of its dataset.

    Names the versions of skipnorm, Python and the libraries (`absent` where one is not
    installed), the platform, and the UTC date in ISO 8601. The libraries' versions are read from
    their installed metadata: none of them is imported.

    >>> sorted(provenance())[:4]
    ['date', 'h5netcdf', 'mnist1d', 'numpy']
    """
    return {
        "skipnorm": skipnorm.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        **{library: _installed(library) for library in LIBRARIES},
    }


@cache
def _installed(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "absent"
