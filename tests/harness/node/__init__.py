"""A real Kubernetes node in private namespaces: kubelet, containerd and runc. See README.md."""
