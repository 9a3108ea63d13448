"""Identifiers of rows, workers and uploads: UUIDv7 (RFC 9562), which sort by the time they were made."""

import os
import time
import uuid


def new_id() -> str:
    """A new UUIDv7: 48 bits of milliseconds, 12 bits of the fraction (a quarter microsecond), then random bits."""
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    fraction = (nanoseconds << 12) // 1_000_000
    value = milliseconds << 80 | 0x7 << 76 | fraction << 64 | int.from_bytes(os.urandom(8), "big")
    return str(uuid.UUID(int=value & ~(0x3 << 62) | 0x2 << 62))


def first_id(seconds: float) -> str:
    """The smallest id that `new_id` can make from that time on (seconds since 1970)."""
    return str(uuid.UUID(int=int(seconds * 1000) << 80))
