//! A probe by itself: JSON lines on standard input and output, see `measure::control`.
//!
//! ```text
//! ip netns exec office target/debug/examples/probe
//! ```

fn main() -> std::io::Result<()> {
    measure::control::serve_stdio()
}
