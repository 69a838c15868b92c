"""PostgreSQL and Redis: the only layer that knows psycopg and redis."""
