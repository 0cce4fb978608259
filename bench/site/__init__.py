"""The leaderboard as a static site, derived from a folder of records alone."""
