"""How often and how long: short in every run of the tests, long by `make soak`.

Lives here: the one switch between the two. Must not live here: what is repeated.
"""

from __future__ import annotations

import os

IS_SOAK = bool(os.environ.get("FASTRELAY_SOAK"))
SOAK_S = float(os.environ.get("FASTRELAY_SOAK_S", "600" if IS_SOAK else "12"))
"""How long memory is watched."""
TIMES = 10 if IS_SOAK else 3
"""How often in a row a relay is upgraded, or reloaded."""
KILLS = 10 if IS_SOAK else 2
QUESTIONS = 1000
"""How often metrics are asked for."""
