//! The migration state machine, switchover clockwork and planner, without I/O
