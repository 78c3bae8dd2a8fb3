"""Compare the running stack with what the last `pulumi up` declared (`make verify`)."""
