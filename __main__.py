"""Ray Serve LLM's fast data path as one stack: read the environment, stand up the platform, put the workloads on it."""

# ruff: noqa: E402
import gc

gc.disable()  # what is made from here on lasts to the end: to look for what does not takes a quarter of the time

import sys

import pulumi

from config import loader
from config.issues import ConfigError
from infra.provision import provision
from workloads.deploy import deploy

ALREADY_SHOWN = 32
"""Exit status that tells Pulumi's Python host not to add a message of its own."""

try:
    settings = loader.read()
    platform = provision(settings.infra, settings.name, settings.demand)
except ConfigError as refused:
    pulumi.log.error("\n".join(["Nothing was touched, because this cannot work as written:", *refused.sentences]))
    sys.exit(ALREADY_SHOWN)
for name, value in deploy(settings.serving, platform, settings.hugging_face_token).items():
    pulumi.export(name, value)
