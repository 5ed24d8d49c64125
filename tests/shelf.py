"""`emotion-edge` as it is, but that its camera is the tests' scripted one: no machine here has a camera."""

import sys
from functools import partial

from edge import cli, control
from edge.sources import guard
from tests.fakes import SCRIPTED

assert hasattr(control, "Guarded")  # it asks for the class, and is imported before that is hidden
guard.Guarded = partial(guard.Guarded, opener=SCRIPTED)  # type: ignore[assignment, misc]

if __name__ == "__main__":
    sys.exit(cli.main())
