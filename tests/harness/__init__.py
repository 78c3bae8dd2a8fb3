"""What only tests use: Pulumi projects and stacks `local` of their own, and a real Kubernetes node. See README.md."""
