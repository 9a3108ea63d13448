"""What keeps the service's disks in order: what is deleted because nobody needs it, and what takes up how much."""
