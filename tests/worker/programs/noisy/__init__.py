"""The command for a trial, whose training also writes what the parameter `behaviour` says."""
