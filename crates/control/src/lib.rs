//! The directory and its projections
