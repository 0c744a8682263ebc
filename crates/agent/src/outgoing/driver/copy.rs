//! The VM's disks on its way: mirrored before its memory is sent, ended when it has stopped.

use super::{Driver, MEMORY};
use model::migration::{FlipOrder, Progress};
use model::news::News;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Look at the mirrors this often.
const LOOK: Duration = Duration::from_millis(200);
/// Of the VM's rate, what its disks may use while its memory is sent.
pub(super) const BESIDE_MEMORY: u64 = 4;
/// QEMU must stand at `pre-switchover` this long after its mirrors have ended.
const PATIENCE: Duration = Duration::from_secs(5);

impl Driver {
    /// Follows the mirrors, and begins with memory when they are whole. False when the migration of
    /// the VM has ended over them.
    pub(super) async fn look_at_disks(&mut self) -> bool {
        let Some(mirrors) = self.mirrors.clone() else {
            return true;
        };
        if self.stopped || self.disks_asked.elapsed() < LOOK {
            return true;
        }
        self.disks_asked = Instant::now();
        let result = match mirrors.look().await {
            Ok((whole, done, total)) => {
                self.disks_seen = (done, total);
                self.follow(whole).await
            }
            Err(why) => Err(why),
        };
        if let Err(why) = result {
            self.vm.stay().await;
            self.pump = None;
            self.mirrors = None;
            self.over = true;
            self.fail(why, false);
            return false;
        }
        true
    }

    async fn follow(&mut self, whole: bool) -> Result<(), String> {
        if self.sending {
            return Ok(());
        }
        if !whole {
            let (disk_bytes, disk_total_bytes) = self.disks_seen;
            let counted = self.mirrors.as_ref().map(|mirrors| mirrors.counted());
            let wire_bytes = counted.unwrap_or_default().1;
            let (since, _, wire_then) = self.last_rate;
            let seconds = since.elapsed().as_secs_f64().max(0.001);
            let rate = wire_bytes.saturating_sub(wire_then) as f64 / seconds;
            if seconds > 1.0 {
                self.last_rate = (Instant::now(), 0, wire_bytes);
            }
            self.tell(News::Progress {
                migration: self.job.migration.clone(),
                vm: self.job.vm.clone(),
                progress: Progress {
                    wire_bytes,
                    rate,
                    disk_bytes,
                    disk_total_bytes,
                    ..Progress::default()
                },
            });
            return Ok(());
        }
        let begun = self.vm.qmp.migrate(MEMORY).await;
        begun.map_err(|error| error.to_string())?;
        self.sending = true;
        (self.began, self.last_rate) = (Instant::now(), (Instant::now(), 0, 0));
        if let Some(mirrors) = &self.mirrors {
            mirrors.pace(Some(self.mirror_rate()));
        }
        self.tell(News::Mirrored {
            migration: self.job.migration.clone(),
            vm: self.job.vm.clone(),
        });
        Ok(())
    }

    /// The VM has stopped: its mirrors end, then QEMU may go on to the last of its memory. The driver does
    /// not wait for it.
    pub(super) fn end_mirrors(&self) {
        let Some(mirrors) = self.mirrors.clone() else {
            return;
        };
        let (vm, news, job) = (self.vm.clone(), self.around.news.clone(), self.job.clone());
        tokio::spawn(async move {
            let at_pre_switchover = job.how.order == FlipOrder::PreSwitchover;
            let result = match mirrors.finish().await {
                Ok(()) if at_pre_switchover => {
                    let _ = news.send(News::PreSwitchover {
                        migration: job.migration.clone(),
                        vm: job.vm.clone(),
                    });
                    Ok(())
                }
                Ok(()) => go_on(&vm).await,
                Err(why) => Err(why),
            };
            if let Err(reason) = result {
                // It stopped and was handed over, but the target cannot run it without its disks: it is
                // asked, says so, and the VM goes on here.
                let _ = news.send(News::Failed {
                    migration: job.migration,
                    vm: job.vm,
                    reason,
                    in_doubt: true,
                });
            }
        });
    }
}

/// QEMU stands at `pre-switchover` a moment after it has said that it stopped.
async fn go_on(vm: &Arc<crate::vms::Vm>) -> Result<(), String> {
    let since = Instant::now();
    loop {
        match vm.qmp.migrate_continue().await {
            Ok(()) => return Ok(()),
            Err(error) if since.elapsed() > PATIENCE => return Err(error.to_string()),
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}
