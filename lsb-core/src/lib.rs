//! lsb-core
