"""Whether what runs is what the last `up` declared (`make verify`)."""
