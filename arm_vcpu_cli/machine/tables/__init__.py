"""A guest's translation tables, as people want to see them: walks, maps, names of places."""
