//! The mesh protocol without I/O.
#![forbid(unsafe_code)]
