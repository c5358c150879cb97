"""Forward passes written anew, where a module's own code would not follow a collection."""
