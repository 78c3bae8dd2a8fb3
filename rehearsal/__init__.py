"""What `make up CLOUD=rehearsal` runs instead of Google Cloud: stand-in plugins and real control planes."""
