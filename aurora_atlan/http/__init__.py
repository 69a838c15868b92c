"""The REST API: thin Falcon resources served by waitress."""
