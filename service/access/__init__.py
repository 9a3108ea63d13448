"""Who calls, and what they may change: identities, browser sessions, delays after wrong keys."""
