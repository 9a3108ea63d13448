"""How well the diagnosis judges: seeded faults and healthy controls on the real engine (`make bench-diagnosis`)."""
