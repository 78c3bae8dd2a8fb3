"""`python -m tests.rig.mount HOME`: both plugins' stand-ins, where a CLI with that PULUMI_HOME looks."""

import sys
from pathlib import Path

from tests.rig import google, kubernetes

if __name__ == "__main__":
    google.mount(Path(sys.argv[1]))
    kubernetes.mount(Path(sys.argv[1]))
