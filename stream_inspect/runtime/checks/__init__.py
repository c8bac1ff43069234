"""What `stream-inspect check` tries: one file for each thing that a configuration needs."""
