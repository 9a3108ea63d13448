"""What keeps the service's disks in order: what is deleted because nobody needs it any more."""
