//! The server on a port of its own, in this process, against a real database.
