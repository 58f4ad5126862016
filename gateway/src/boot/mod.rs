//! Builds the application, wires its ports, serves and stops.
