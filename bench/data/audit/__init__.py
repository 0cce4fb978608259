"""What a split leaks and what gives the classes away: duplicates, shared patients, confounds."""
