"""Real Kubernetes control planes with the real KubeRay operator, without containers or a cloud. See ../README.md."""

OWN_CLUSTER = "RAYLLM_KUBECONFIG"
"""Names a kubeconfig whose cluster takes the place of the rig's, where a test says that it may."""
