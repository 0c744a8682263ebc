//! TUN and TAP devices: packets with a header that lets them be large, several queues.

use std::io::{self, IoSlice, IoSliceMut};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::sys::uio::{readv, writev};

use crate::error::Error;
use crate::vnet::{self, Vnet};

/// What a device carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// IP packets, large ones of TCP too, of UDP where the kernel does that.
    Ip,
    /// Ethernet frames, each as it would be on a wire: whole checksums, none larger than the MTU. A switch in
    /// user space takes them from the device as they are, so it must not be given anything else.
    Ethernet,
}

mod request {
    //! The requests of /dev/net/tun (linux/if_tun.h).
    #![allow(missing_docs)]
    nix::ioctl_write_ptr_bad!(attach, nix::request_code_write!(b'T', 202, 4), libc::ifreq);
    nix::ioctl_write_int_bad!(persist, nix::request_code_write!(b'T', 203, 4));
    nix::ioctl_write_int_bad!(offload, nix::request_code_write!(b'T', 208, 4));
}

const CHECKSUM: u32 = 1;
const TSO4: u32 = 2;
const TSO6: u32 = 4;
const TSO_ECN: u32 = 8;
const USO4: u32 = 0x20;
const USO6: u32 = 0x40;

/// Pieces of one packet that are written without asking for memory.
const FEW: usize = 65;
/// Bytes of an Ethernet header.
pub const ETHERNET: usize = 14;

/// One queue of a TUN. The device is gone with its last queue.
#[derive(Debug)]
pub struct Queue {
    fd: OwnedFd,
    /// Whether the kernel takes and gives large UDP packets.
    pub udp_offload: bool,
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Queue {
    /// Makes a queue of the device of this name, and the device with its first queue. Does not block.
    ///
    /// # Errors
    /// [`Error::Device`]: no permission for /dev/net/tun, or the name is taken by something else.
    pub fn open(name: &str, layer: Layer) -> Result<Self, Error> {
        let (kind, mode) = match layer {
            Layer::Ip => ("TUN", libc::IFF_TUN),
            Layer::Ethernet => ("TAP", libc::IFF_TAP),
        };
        let failed = |what| {
            move |source: io::Error| Error::Device {
                kind,
                name: name.to_owned(),
                what,
                source,
            }
        };
        let path = c"/dev/net/tun";
        let flags = libc::O_RDWR | libc::O_NONBLOCK | libc::O_CLOEXEC;
        // SAFETY: the path is a C string; the result is checked before it becomes an owned descriptor.
        let raw = unsafe { libc::open(path.as_ptr(), flags) };
        if raw < 0 {
            return Err(failed("open /dev/net/tun")(io::Error::last_os_error()));
        }
        // SAFETY: just opened, owned by nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(raw) };
        // SAFETY: an ifreq of zeroes is valid.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        if name.is_empty() || name.len() >= request.ifr_name.len() {
            return Err(failed("use a name that is empty or longer than 15 bytes")(
                io::ErrorKind::InvalidInput.into(),
            ));
        }
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *to = from as libc::c_char;
        }
        let flags = mode | libc::IFF_NO_PI | libc::IFF_VNET_HDR | libc::IFF_MULTI_QUEUE;
        request.ifr_ifru.ifru_flags = flags as libc::c_short;
        // SAFETY: the request is an ifreq that outlives the call.
        unsafe { request::attach(fd.as_raw_fd(), &request) }
            .map_err(|error| failed("attach to it")(error.into()))?;
        let offload = |flags: u32| {
            // SAFETY: the request takes an integer.
            unsafe { request::offload(fd.as_raw_fd(), flags as libc::c_int) }
        };
        let tcp = CHECKSUM | TSO4 | TSO6 | TSO_ECN;
        let udp_offload = layer == Layer::Ip && offload(tcp | USO4 | USO6).is_ok();
        if !udp_offload {
            let rest = if layer == Layer::Ip { tcp } else { 0 };
            offload(rest).map_err(|error| failed("switch its offloads on")(error.into()))?;
        }
        Ok(Self { fd, udp_offload })
    }

    /// Lets the device stay when nobody has it open: who opens it again goes on with it.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn keep(&self) -> io::Result<()> {
        // SAFETY: the request takes an integer, on a descriptor that lives here.
        let kept = unsafe { request::persist(self.fd.as_raw_fd(), 1) };
        kept.map(drop).map_err(Into::into)
    }

    /// Reads one packet into `buffer`; nothing when none waits.
    ///
    /// # Errors
    /// The device is gone or down.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<Option<(Vnet, usize)>> {
        let mut header = [0; vnet::LEN];
        let mut parts = [IoSliceMut::new(&mut header), IoSliceMut::new(buffer)];
        match readv(&self.fd, &mut parts) {
            Ok(length) => Ok(Some((
                Vnet::decode(header),
                length.saturating_sub(vnet::LEN),
            ))),
            Err(nix::Error::EAGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Hands a frame to the kernel: a packet behind an Ethernet header.
    ///
    /// # Errors
    /// As [`Queue::write`].
    pub fn write_frame(&self, header: [u8; ETHERNET], packet: &[u8]) -> io::Result<()> {
        let vnet = Vnet::default().encode();
        let parts = [
            IoSlice::new(&vnet),
            IoSlice::new(&header),
            IoSlice::new(packet),
        ];
        writev(&self.fd, &parts).map(drop).map_err(io::Error::from)
    }

    /// Hands a packet to the kernel, put together from places in `buffer`.
    ///
    /// # Errors
    /// The device is down (EIO), or the packet is not one.
    pub fn write(&self, vnet: Vnet, buffer: &[u8], pieces: &[Range<usize>]) -> io::Result<()> {
        let header = vnet.encode();
        let piece = |place: &Range<usize>| buffer.get(place.clone()).unwrap_or_default();
        if let [only] = pieces {
            let pair = [IoSlice::new(&header), IoSlice::new(piece(only))];
            return writev(&self.fd, &pair).map(drop).map_err(io::Error::from);
        }
        let mut few = [IoSlice::new(&[]); FEW];
        let many: Vec<IoSlice<'_>>;
        let slices = if let Some((first, rest)) = few
            .get_mut(..=pieces.len())
            .and_then(<[_]>::split_first_mut)
        {
            *first = IoSlice::new(&header);
            for (to, place) in rest.iter_mut().zip(pieces) {
                *to = IoSlice::new(piece(place));
            }
            few.get(..=pieces.len()).unwrap_or_default()
        } else {
            let rest = pieces.iter().map(|place| IoSlice::new(piece(place)));
            many = std::iter::once(IoSlice::new(&header)).chain(rest).collect();
            many.as_slice()
        };
        writev(&self.fd, slices).map(drop).map_err(io::Error::from)
    }
}
