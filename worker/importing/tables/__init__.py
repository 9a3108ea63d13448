"""CSV tables: their lines, their columns, and the features that become of them."""
