"""Stand-ins so that everything runs on one machine without Azure. Nothing here is deployed."""
