"""Which layer of a network breaks translation, by how much, and why."""
