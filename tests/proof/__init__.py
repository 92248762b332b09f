"""The proof that synchronisation loses no version and never gets stuck."""
