//! The Map-Server over real sockets, with a store and a directory in it.

mod answering;
mod bed;
mod describing;
mod registering;
mod telling;
