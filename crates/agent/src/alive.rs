//! Does a VM that has just been resumed live?
//!
//! Either it answers when it is asked on its port, or it sends on its own. The second matters where the guest
//! is behind: our question would wait behind everything that waited for the guest, while the guest's replies
//! to that show that it lives.

use crate::vms::Record;
use ovs::TapIo;
use std::time::Duration;

/// How long a resumed VM is left to those who wait for it. What QEMU sends of itself out of the guest's ring is
/// sent by then.
const SETTLE: Duration = Duration::from_millis(250);
/// Its port's counters are looked at this often.
const LOOK: Duration = Duration::from_millis(50);
/// So many frames after [`SETTLE`] come from a guest that runs.
const FRAMES: u64 = 4;

/// Waits for a sign of life.
///
/// # Errors
/// One sentence, when there was none within `patience`.
pub(crate) async fn within(io: &TapIo, vm: &Record, patience: Duration) -> Result<(), String> {
    tokio::time::sleep(SETTLE).await;
    let seen = tokio::select! {
        answered = answers(io, vm, patience) => answered?,
        () = sends(io, &vm.ifname) => true,
    };
    match seen {
        true => Ok(()),
        false => Err(format!(
            "'{}' neither answers nor sends anything on its port within {} ms",
            vm.member.name,
            patience.as_millis()
        )),
    }
}

async fn answers(io: &TapIo, vm: &Record, patience: Duration) -> Result<bool, String> {
    for cidr in &vm.member.addresses {
        match io
            .answers(&vm.ifname, vm.member.mac, cidr.address, patience)
            .await
        {
            Ok(false) => {}
            other => return other.map_err(|error| error.to_string()),
        }
    }
    Ok(false)
}

/// Ends when the guest has sent frames. A port that cannot be read says nothing either way.
async fn sends(io: &TapIo, ifname: &str) {
    let mut first = None;
    loop {
        if let Ok(now) = io.stats(ifname).await {
            let first = *first.get_or_insert(now.from_member);
            if now.from_member.saturating_sub(first) >= FRAMES {
                return;
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}
