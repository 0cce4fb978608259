"""Planning cells, running each in a process of its own, and evaluating what comes back."""
