"""A real Kubernetes node in private namespaces: kubelet, containerd, runc. See ../README.md."""
