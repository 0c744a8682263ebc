//! The warden: first process of the box. It reaps, supervises and answers on the control socket.
//!
//! One poll loop, and one thread that starts what the loop wants started. It knows nothing of sites or VMs. It ends on request, on SIGTERM, or
//! when the lab folder is gone (then nobody could reach it any more); with it ends everything in
//! its pid namespace, however it ended.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

use super::children::{self, Stdio3};
use super::launcher::Launcher;
use super::wire::{self, BoxStatus, End, ProcessStatus, Program, Reply, Request};
use crate::folder::{self, Folder};
use crate::process;
use std::path::Path;

/// How often the warden looks whether its folder still exists.
const FOLDER_CHECK: Duration = Duration::from_secs(3);

/// How long a caller may take to send its request.
const REQUEST_LIMIT: Duration = Duration::from_secs(2);

/// How long processes have between SIGTERM and the end when nobody said otherwise.
const DEFAULT_GRACE: Duration = Duration::from_millis(1500);

pub(crate) fn listen(folder: &Folder) -> io::Result<UnixListener> {
    let listener = UnixListener::bind(folder.warden_socket())?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

pub(crate) fn run(folder: &Folder, listener: UnixListener) -> io::Result<()> {
    let mut mask = SigSet::empty();
    for signal in [
        Signal::SIGCHLD,
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
    ] {
        mask.add(signal);
    }
    mask.thread_block()?;
    let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    let mut warden = Warden {
        folder: folder.clone(),
        launcher: Launcher::start()?,
        processes: Vec::new(),
        execs: Vec::new(),
        ending: None,
    };
    loop {
        warden.wait(&listener, &signals)?;
        while let Some(info) = signals.read_signal()? {
            if info.ssi_signo != Signal::SIGCHLD as u32 {
                warden.end_all(DEFAULT_GRACE, None);
            }
        }
        while let Some((pid, end)) = children::reap() {
            warden.ended(pid, end);
        }
        warden.drop_hung_up();
        while let Ok((stream, _)) = listener.accept() {
            warden.serve(stream);
        }
        if warden.ending.is_none() && !folder.warden_socket().exists() {
            warden.end_all(DEFAULT_GRACE, None);
        }
        if warden.is_over() {
            return Ok(());
        }
    }
}

struct Warden {
    folder: Folder,
    launcher: Launcher,
    processes: Vec<ProcessStatus>,
    execs: Vec<Exec>,
    ending: Option<Ending>,
}

struct Exec {
    stream: UnixStream,
    pid: i32,
}

struct Ending {
    deadline: Instant,
    callers: Vec<UnixStream>,
}

impl Warden {
    fn wait(&self, listener: &UnixListener, signals: &SignalFd) -> io::Result<()> {
        let limit = match &self.ending {
            Some(_) => Duration::from_millis(10),
            None => FOLDER_CHECK,
        };
        let mut fds = vec![
            PollFd::new(listener.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        fds.extend(
            self.execs
                .iter()
                .map(|e| PollFd::new(e.stream.as_fd(), PollFlags::POLLHUP)),
        );
        match poll(
            &mut fds,
            PollTimeout::try_from(limit).unwrap_or(PollTimeout::ZERO),
        ) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    fn serve(&mut self, mut stream: UnixStream) {
        let prepared = stream
            .set_nonblocking(false)
            .and_then(|()| stream.set_read_timeout(Some(REQUEST_LIMIT)))
            .and_then(|()| stream.set_write_timeout(Some(REQUEST_LIMIT)));
        if prepared.is_err() {
            return;
        }
        let (request, fds) = match wire::receive::<Request>(&stream) {
            Ok(Some(got)) => got,
            Ok(None) => return,
            Err(e) => return answer(&mut stream, &error(format!("cannot read the request: {e}"))),
        };
        if self.ending.is_some() && !matches!(request, Request::Shutdown { .. } | Request::Status) {
            return answer(
                &mut stream,
                &error("the lab is being taken down".to_owned()),
            );
        }
        let done = |result: io::Result<()>| match result {
            Ok(()) => Reply::Done,
            Err(e) => error(e.to_string()),
        };
        let reply = match request {
            Request::NetnsAdd { name } => done(children::netns_add(&name)),
            Request::NetnsDel { name } => done(children::netns_del(&name)),
            Request::Spawn { name, program } => match self.spawn(name, program) {
                Ok(process) => Reply::Spawned { process },
                Err(e) => error(e.to_string()),
            },
            Request::Exec { program } => {
                let started = Stdio3::from_fds(fds)
                    .ok_or_else(|| io::Error::other("exec needs three descriptors"))
                    .and_then(|stdio| self.launcher.launch(program, stdio));
                match started {
                    Ok(pid) => return self.execs.push(Exec { stream, pid }),
                    Err(e) => error(e.to_string()),
                }
            }
            Request::Kill { name, signal } => done(self.kill(&name, signal)),
            Request::Status => Reply::Status {
                status: self.status(),
            },
            Request::Shutdown { grace_ms } => {
                return self.end_all(Duration::from_millis(grace_ms), Some(stream));
            }
        };
        answer(&mut stream, &reply);
    }

    fn spawn(&mut self, name: String, program: Program) -> io::Result<ProcessStatus> {
        children::check_name(&name)?;
        if self
            .processes
            .iter()
            .any(|p| p.name == name && p.is_alive())
        {
            return Err(io::Error::other(format!(
                "a process {name} runs already: kill it first"
            )));
        }
        let log = Stdio3::log(&self.folder.log(&name))?;
        let pid = self.launcher.launch(program.clone(), log)?;
        let outside = children::outside_id(pid);
        if let Some(id) = outside {
            // The pid file is for people and tests; the box ends without it.
            let path = self.folder.pid_file(&name);
            let _ = folder::write_whole(&path, format!("{id}\n").as_bytes());
        }
        let Program { netns, argv, .. } = program;
        let process = ProcessStatus {
            name,
            netns,
            argv,
            pid,
            outside,
            end: None,
        };
        self.processes.retain(|p| p.name != process.name);
        self.processes.push(process.clone());
        Ok(process)
    }

    fn kill(&self, name: &str, signal: i32) -> io::Result<()> {
        let process = self
            .processes
            .iter()
            .find(|p| p.name == name)
            .ok_or_else(|| io::Error::other(format!("there is no process {name} in the lab")))?;
        if !process.is_alive() {
            return Ok(());
        }
        let signal = Signal::try_from(signal)?;
        // Not reaped yet (that happens in this loop only), so the pid is still its own.
        Ok(kill(Pid::from_raw(process.pid), signal)?)
    }

    fn status(&self) -> BoxStatus {
        let mut all_pids = process::all_pids(Path::new("/proc"));
        all_pids.sort_unstable();
        BoxStatus {
            namespaces: children::netns_list(),
            processes: self.processes.clone(),
            all_pids,
        }
    }

    fn ended(&mut self, pid: i32, end: End) {
        if let Some(process) = self
            .processes
            .iter_mut()
            .find(|p| p.pid == pid && p.is_alive())
        {
            process.end = Some(end);
            process.outside = None;
            let _ = std::fs::remove_file(self.folder.pid_file(&process.name));
        }
        if let Some(at) = self.execs.iter().position(|e| e.pid == pid) {
            let mut exec = self.execs.swap_remove(at);
            answer(&mut exec.stream, &Reply::Exited { end });
        }
    }

    /// A caller that is gone does not want its program any more.
    fn drop_hung_up(&mut self) {
        self.execs.retain(|exec| {
            let gone = hung_up(&exec.stream);
            if gone {
                let _ = kill(Pid::from_raw(-exec.pid), Signal::SIGKILL);
            }
            !gone
        });
    }

    fn end_all(&mut self, grace: Duration, caller: Option<UnixStream>) {
        let deadline = Instant::now() + grace;
        let ending = self.ending.get_or_insert_with(|| {
            // Every process in this pid namespace but ourselves (kill(2)).
            let _ = kill(Pid::from_raw(-1), Signal::SIGTERM);
            // A stopped process only hears SIGTERM once it continues.
            let _ = kill(Pid::from_raw(-1), Signal::SIGCONT);
            Ending {
                deadline,
                callers: Vec::new(),
            }
        });
        ending.deadline = ending.deadline.min(deadline);
        ending.callers.extend(caller);
    }

    fn is_over(&mut self) -> bool {
        let Some(ending) = &mut self.ending else {
            return false;
        };
        let alone = process::all_pids(Path::new("/proc")) == [1];
        if !alone && Instant::now() < ending.deadline {
            return false;
        }
        for caller in &mut ending.callers {
            answer(caller, &Reply::Done);
        }
        true
    }
}

fn hung_up(stream: &UnixStream) -> bool {
    let mut fds = [PollFd::new(stream.as_fd(), PollFlags::POLLHUP)];
    matches!(poll(&mut fds, PollTimeout::ZERO), Ok(n) if n > 0)
}

fn answer(stream: &mut UnixStream, reply: &Reply) {
    // A caller that is gone needs no answer.
    let _ = wire::send(stream, reply, &[]);
}

fn error(message: String) -> Reply {
    Reply::Error { message }
}
