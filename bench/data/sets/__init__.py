"""The built-in data sets: each module lists the images of one download, as it unpacks."""
