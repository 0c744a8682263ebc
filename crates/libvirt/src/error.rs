//! What goes wrong with libvirt.

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What goes wrong with libvirt.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no way to libvirtd.
    #[error(
        "libvirt at {uri} does not answer: {why}; start libvirtd or correct `libvirt` in the agent's configuration"
    )]
    Connect {
        /// The connection's URI.
        uri: String,
        /// libvirt's words.
        why: String,
    },
    /// There is no such domain.
    #[error("libvirt has no domain '{0}' on this host; see `virsh list --all`")]
    NoDomain(String),
    /// libvirt refused.
    #[error("libvirt cannot {what} '{domain}': {why}")]
    Refused {
        /// What it was to do.
        what: &'static str,
        /// The domain.
        domain: String,
        /// libvirt's words.
        why: String,
    },
    /// A description cannot be read.
    #[error("the description of a domain cannot be read: {0}")]
    Xml(String),
    /// A socket or a file.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The domain runs, and its process is not seen.
    #[error(
        "the process of domain '{0}' is not found; the agent must see the processes that libvirt starts"
    )]
    NoProcess(String),
    /// A thread of libvirt's client cannot be started.
    #[error("libvirt's client does not start: {0}")]
    Client(String),
}
