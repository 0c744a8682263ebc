//! A device that runs, and the handle to it.

use std::net::SocketAddr;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use nix::sys::eventfd::{EfdFlags, EventFd};
use offload::udp::{Socket, Use};
use tokio::sync::mpsc::Receiver;

use crate::core::Core;
use crate::edge::{Command, Inside, Worker};
use crate::error::Error;
use crate::event::Event;
use crate::key::SecretKey;
use crate::status::Status;
use crate::wanted::Wanted;

/// Events that wait for a listener.
const EVENTS: usize = 1024;

/// How a device is connected to its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attach {
    /// A layer-2 device for a switch, which takes it as a port. IP is carried between hosts; the Ethernet around it is
    /// made and taken off here. Who asks for the address of a peer is answered with `mac`.
    Tap {
        /// Its name.
        name: String,
        /// Where all peers seem to be: source of all frames from the device.
        mac: [u8; 6],
        /// The switch's own interface: destination of all frames from the device.
        inside: [u8; 6],
        /// Whether it stays when the device is gone: a switch then keeps its port while who encrypts is replaced.
        stays: bool,
    },
    /// A layer-3 device of the kernel. Addresses and routes are its user's business.
    Tun {
        /// Its name.
        name: String,
    },
}

/// What a device is opened with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceConfig {
    /// Address and port on the outside; the address may be the unspecified one of its family.
    pub listen: SocketAddr,
    /// The inside.
    pub attach: Attach,
    /// Bytes of the largest packet that goes through it. WireGuard, UDP and IP add 60 bytes to it, over IPv6 80.
    pub mtu: u16,
}

/// A device. It is gone with the last handle to it.
#[derive(Clone, Debug)]
pub struct Device(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    commands: Sender<Command>,
    wake: Arc<EventFd>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Device {
    /// Makes a device in the network namespace of the calling thread. It has neither keys nor peers until
    /// [`Device::set`].
    ///
    /// # Errors
    /// The device or the socket cannot be made: no permission, or the name or port is taken.
    pub fn open(config: DeviceConfig) -> Result<Self, Error> {
        let socket = Socket::open(config.listen, Use::Tunnel)?;
        let inside = Inside::open(&config.attach, config.mtu)?;
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let wake = EventFd::from_flags(flags).map_err(|error| Error::Thread(error.into()))?;
        let wake = Arc::new(wake);
        let (commands, told) = mpsc::channel();
        // Any secret key is 32 bytes of good randomness.
        let [a, b, c, d, ..] = *SecretKey::generate().as_bytes();
        let core = Core::new(config.mtu, u32::from_le_bytes([b, c, d, a]), Instant::now());
        let worker = Worker::new(core, config.mtu, inside, socket, told, Arc::clone(&wake));
        let (Attach::Tap { name, .. } | Attach::Tun { name }) = &config.attach;
        let thread = std::thread::Builder::new()
            .name(format!("wg {name}"))
            .spawn(|| worker.run())
            .map_err(Error::Thread)?;
        Ok(Self(Arc::new(Shared {
            commands,
            wake,
            thread: Mutex::new(Some(thread)),
        })))
    }

    /// Makes it what is wanted, as a whole. What does not differ stays: sessions go on. Who is not wanted any more has
    /// lost its sessions when this returns.
    ///
    /// # Errors
    /// [`Error::Wanted`]: it contradicts itself, and nothing has changed. [`Error::Stopped`].
    pub fn set(&self, state: Wanted) -> Result<(), Error> {
        let (done, result) = mpsc::channel();
        self.0.tell(Command::Set(state, done))?;
        result.recv().map_err(|_| Error::Stopped)??;
        Ok(())
    }

    /// How it is; nothing of anyone if it has stopped.
    pub fn status(&self) -> Status {
        let (reply, status) = mpsc::channel();
        match self.0.tell(Command::Status(reply)) {
            Ok(()) => status.recv().unwrap_or_default(),
            Err(_) => Status::default(),
        }
    }

    /// What happens from now on. Who does not take the events misses those that do not fit the queue.
    pub fn events(&self) -> Receiver<Event> {
        let (listener, events) = tokio::sync::mpsc::channel(EVENTS);
        drop(self.0.tell(Command::Subscribe(listener)));
        events
    }
}

impl Shared {
    fn tell(&self, command: Command) -> Result<(), Error> {
        self.commands.send(command).map_err(|_| Error::Stopped)?;
        // It fails only when the count is at its end, and then the thread is awake.
        let _ = self.wake.write(1);
        Ok(())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        drop(self.tell(Command::Stop));
        let thread = self.thread.lock().ok().and_then(|mut thread| thread.take());
        if let Some(Err(_)) = thread.map(JoinHandle::join) {
            tracing::error!("the thread of a WireGuard device has panicked");
        }
    }
}
