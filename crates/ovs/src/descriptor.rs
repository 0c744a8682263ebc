//! Descriptors out of other processes.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// A duplicate of the first descriptor of a process that is wanted, by its number; none when it has none such
/// (pidfd_open(2), pidfd_getfd(2)).
///
/// # Errors
/// When the process is gone, or may not be looked into.
pub fn of_process(pid: i32, wanted: impl Fn(i32) -> bool) -> std::io::Result<Option<OwnedFd>> {
    let all = std::fs::read_dir(format!("/proc/{pid}/fd"))?.flatten();
    let mut numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let Some(number) = numbers.find(|number| wanted(*number)) else {
        return Ok(None);
    };
    let owned = |result: libc::c_long| {
        if result < 0 {
            return Err(std::io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor for us.
        Ok(unsafe { OwnedFd::from_raw_fd(result as i32) })
    };
    // SAFETY: system calls without a pointer.
    let process = owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: as above; `process` is open until the end of the function.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), number, 0) }).map(Some)
}
