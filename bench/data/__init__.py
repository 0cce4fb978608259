"""From files on disk to arrays: manifests, roles, decoding to a memory map, the built-in tasks and the phantoms."""
