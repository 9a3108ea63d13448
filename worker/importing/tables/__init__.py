"""Tables of every format: their lines, their columns, and the features or pictures that become of them."""
