"""What only tests use: Pulumi projects of their own, and a real Kubernetes node. See README.md."""
