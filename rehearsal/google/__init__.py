"""A stand-in for Pulumi's `gcp` plugin and the Google Cloud behind it. See ../README.md."""
