"""The checkout's own location. Every other module names files below it, so that a moved module finds them unchanged."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent
