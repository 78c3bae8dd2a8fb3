"""`python -m tests.rig.mount HOME`: the stand-ins for both plugins, where a CLI with PULUMI_HOME=HOME looks for them."""

import sys
from pathlib import Path

from tests.rig import google, kubernetes

if __name__ == "__main__":
    google.mount(Path(sys.argv[1]))
    kubernetes.mount(Path(sys.argv[1]))
