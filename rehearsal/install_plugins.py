"""`python -m rehearsal.install_plugins HOME`: both plugins' stand-ins, where a CLI with that PULUMI_HOME looks."""

import sys
from pathlib import Path

from rehearsal import google, kubernetes

if __name__ == "__main__":
    google.mount(Path(sys.argv[1]))
    kubernetes.mount(Path(sys.argv[1]))
