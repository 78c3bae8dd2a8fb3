"""A stand-in for Pulumi's `kubernetes` plugin, in front of a real API server. See ../README.md."""
