"""Real Kubernetes control planes with the real KubeRay operator, without containers or a cloud. See ../README.md."""
