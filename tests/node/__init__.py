"""Pods that KubeRay created, on a real node: they answer, and survive."""
