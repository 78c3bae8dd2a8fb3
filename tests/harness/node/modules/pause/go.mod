module harness.invalid/pause

go 1.26
