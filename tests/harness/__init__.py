"""What the tests run against: servers, databases, and the service as a process."""
