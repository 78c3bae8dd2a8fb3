"""Print the lines of product, tests, and rehearsal with test harness. Fail if the last outgrow the product.

`python -m tests.size`, behind `make lint`. Standard library only.
"""

from __future__ import annotations

import subprocess
import sys

from paths import CHECKOUT

PRODUCT = ("config/", "infra/", "workloads/", "policies/", "verify/", "tools/")
"""Besides the Python and YAML files and the Makefile at the top."""
REHEARSAL = ("rehearsal/", "tests/harness/")
GENERATED = (".sum", ".txt", ".png", ".svg")


def lines() -> tuple[int, int, int]:
    """Return lines of product, rehearsal with harness, and tests: tracked files except generated ones, locks, prose."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, text=True).stdout
    sizes = {
        name: len((CHECKOUT / name).read_bytes().splitlines())
        for name in filter(None, listed.split("\0"))
        if not name.endswith(GENERATED) and (CHECKOUT / name).is_file()
    }
    top = {"Makefile", *(name for name in sizes if "/" not in name and name.endswith((".py", ".yaml")))}
    product = sum(size for name, size in sizes.items() if name in top or name.startswith(PRODUCT))
    rehearsal = sum(size for name, size in sizes.items() if name.startswith(REHEARSAL))
    tests = sum(
        size for name, size in sizes.items() if name.startswith("tests/") and not name.startswith("tests/harness/")
    )
    return product, rehearsal, tests


def main() -> int:
    """Print the three numbers; return 1 if the rehearsal and the harness have more lines than the product."""
    product, rehearsal, tests = lines()
    print(f"Lines: product {product}, tests {tests}, rehearsal and test harness {rehearsal}.")
    if rehearsal > product:
        print("Rehearsal and test harness have more lines than the product. Remove what is not needed.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
