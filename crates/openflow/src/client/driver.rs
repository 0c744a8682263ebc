//! The one task of a connection: reads, keeps alive, writes what was left over.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use tokio::io::Interest;

use super::shared::Shared;

const READ_SIZE: usize = 256 << 10;

pub(super) async fn run(shared: Arc<Shared>) {
    let mut buffer = vec![0; READ_SIZE];
    loop {
        let (deadline, written) = {
            let mut state = shared.lock();
            shared.dispatch(&mut state);
            let written = shared.write_some(&mut state);
            let Some(deadline) = state.connection.next_timeout() else {
                return;
            };
            (deadline, written)
        };
        let Ok(all_written) = written else {
            // The switch may have said why before it closed its end.
            read(&shared, &mut buffer);
            shared.lock().connection.peer_closed();
            continue;
        };
        let interest = if all_written {
            Interest::READABLE
        } else {
            Interest::READABLE | Interest::WRITABLE
        };
        tokio::select! {
            ready = shared.stream.ready(interest) => match ready {
                Ok(ready) if ready.is_readable() => read(&shared, &mut buffer),
                Ok(_) => {}
                Err(_) => shared.lock().connection.peer_closed(),
            },
            () = shared.work.notified() => {}
            () = tokio::time::sleep_until(deadline.into()) => {
                shared.lock().connection.handle_timeout(Instant::now());
            }
        }
    }
}

/// Reads what is there. The lock is taken once for each piece, so that callers get in between.
fn read(shared: &Shared, buffer: &mut [u8]) {
    loop {
        let read = shared.stream.try_read(buffer);
        let mut state = shared.lock();
        match read {
            Ok(n) if n > 0 => {
                let bytes = buffer.get(..n).unwrap_or_default();
                state.connection.receive(bytes, Instant::now());
                shared.dispatch(&mut state);
                if n < buffer.len() {
                    return;
                }
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
            Ok(_) | Err(_) => {
                state.connection.peer_closed();
                return;
            }
        }
    }
}
