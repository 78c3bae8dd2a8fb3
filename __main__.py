"""Ray Serve LLM's fast data path as one stack: load the settings, provision the platform, deploy the workloads."""

# ruff: noqa: E402
import gc

gc.disable()  # almost every object lives until the end, and collection takes a quarter of the running time

import sys

import pulumi

from config import loader
from config.issues import ConfigError
from infra.provision import provision
from workloads.deploy import deploy

ALREADY_SHOWN = 32
"""Exit status that tells Pulumi's Python host not to add a message of its own."""

try:
    config, hugging_face_token = loader.read()
    outputs = deploy(config, provision(config), hugging_face_token)
except ConfigError as error:
    pulumi.log.error("\n".join(["Pulumi changed nothing, because these settings cannot work:", *error.sentences]))
    sys.exit(ALREADY_SHOWN)
for name, value in outputs.items():
    pulumi.export(name, value)
