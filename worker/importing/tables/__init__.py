"""Tables: CSV files, their columns, and missing values."""
