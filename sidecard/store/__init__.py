"""Where the exact cache's answers are kept: LMDB on disk, or memory."""
