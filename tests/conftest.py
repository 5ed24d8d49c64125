"""What holds for all tests: no result depends on how fast or busy the machine is."""

import os

from hypothesis import HealthCheck, settings

# A busy machine is no failure, so nothing is timed; CI tries the same examples each time, people try new ones.
settings.register_profile(
    "emotion-edge", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("emotion-edge")

# Plots are written to files; a screen may be there or not.
os.environ["MPLBACKEND"] = "Agg"
