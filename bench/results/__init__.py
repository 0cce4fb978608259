"""Records on disk: their schema, and a store that never holds half of one."""
