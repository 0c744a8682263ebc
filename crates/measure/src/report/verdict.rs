//! The report's figures beside the targets of the project: what must show, what did.
