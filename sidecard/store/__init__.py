"""Where the cache's answers and the ledger are kept: LMDB on disk, or memory."""
