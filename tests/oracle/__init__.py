"""What clients were told, and whether it holds: a checker that knows the service by its rows and its words alone."""
