"""The machine below a run: devices, precision, memory, seeds, compilers."""
