"""Changes to the gallery in service, without a build of all of it."""
