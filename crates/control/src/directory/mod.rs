//! The directory: endpoint → (locator, epoch).
