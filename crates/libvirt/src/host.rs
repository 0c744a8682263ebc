//! A host's libvirtd.

use crate::xml::{self, Definition};
use crate::{Error, Result, events};
use model::Mac;
use model::libvirt::{Description, Found, Image, Plugged};
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use virt::connect::Connect;
use virt::domain::Domain;

/// A process that was killed is gone for libvirt within this.
const GONE: Duration = Duration::from_secs(20);

/// libvirtd on this host. The connection is made anew when it was lost, which a restart of libvirtd does and
/// no domain notices.
pub struct Host {
    uri: String,
    connection: Mutex<Option<(Connect, u64)>>,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Host").field(&self.uri).finish()
    }
}

impl Host {
    /// Connects.
    ///
    /// # Errors
    /// [`Error::Connect`].
    pub fn open(uri: &str) -> Result<Self> {
        events::begin()?;
        let host = Self {
            uri: uri.to_owned(),
            connection: Mutex::default(),
        };
        host.connection()?;
        Ok(host)
    }

    /// The connection, and the how-manieth it is.
    pub(crate) fn connection(&self) -> Result<(Connect, u64)> {
        let mut kept = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut number = 0;
        if let Some((connection, at)) = &*kept {
            if connection.is_alive().unwrap_or(false) {
                return Ok((connection.clone(), *at));
            }
            number = *at;
        }
        let fresh = Connect::open(Some(&self.uri)).map_err(|error| Error::Connect {
            uri: self.uri.clone(),
            why: error.message().to_owned(),
        })?;
        *kept = Some((fresh.clone(), number + 1));
        Ok((fresh, number + 1))
    }

    pub(crate) fn domain(&self, name: &str) -> Result<Domain> {
        let (connection, _) = self.connection()?;
        Domain::lookup_by_name(&connection, name).map_err(|_| Error::NoDomain(name.to_owned()))
    }

    /// A command for a domain's QEMU, with files that go along; gives QEMU's answer as it is.
    pub(crate) fn command(
        &self,
        domain: &Domain,
        command: &str,
        files: &[BorrowedFd<'_>],
    ) -> Result<String> {
        let text = CString::new(command).map_err(|_| Error::Xml("a zero byte".to_owned()))?;
        let mut raw: Vec<i32> = files.iter().map(AsRawFd::as_raw_fd).collect();
        let mut answer: *mut libc::c_char = ptr::null_mut();
        let pointer = if raw.is_empty() {
            ptr::null_mut()
        } else {
            raw.as_mut_ptr()
        };
        // SAFETY: the domain is alive, the text ends with a zero byte, the files are open as long as they are
        // borrowed, and the answer is libvirt's until it is freed below.
        let done = unsafe {
            virt_sys::virDomainQemuMonitorCommandWithFiles(
                domain.as_ptr(),
                text.as_ptr(),
                raw.len() as libc::c_uint,
                pointer,
                ptr::null_mut(),
                ptr::null_mut(),
                &raw mut answer,
                virt_sys::VIR_DOMAIN_QEMU_MONITOR_COMMAND_DEFAULT,
            )
        };
        if done != 0 || answer.is_null() {
            let error = virt::error::Error::last_error();
            return Err(refused("pass a command to", domain, error));
        }
        // SAFETY: a string that libvirt made for us, which nobody else frees.
        unsafe {
            let said = CStr::from_ptr(answer).to_string_lossy().into_owned();
            libc::free(answer.cast());
            Ok(said)
        }
    }

    /// Every domain, running or not.
    ///
    /// # Errors
    /// When libvirt does not answer.
    pub fn list(&self) -> Result<Vec<Found>> {
        let (connection, _) = self.connection()?;
        let all = connection
            .list_all_domains(0)
            .map_err(|error| Error::Connect {
                uri: self.uri.clone(),
                why: error.message().to_owned(),
            })?;
        let mut found = Vec::new();
        for domain in all {
            match look(&domain) {
                Ok(one) => found.push(one),
                // It may have gone meanwhile.
                Err(error) => tracing::warn!(%error, "a domain is not shown"),
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// One domain.
    ///
    /// # Errors
    /// [`Error::NoDomain`], or libvirt's words.
    pub fn find(&self, name: &str) -> Result<Found> {
        look(&self.domain(name)?)
    }

    /// What a target must know of a running domain. What its interface was plugged into is not libvirt's to
    /// know.
    ///
    /// # Errors
    /// When it does not run.
    pub fn describe(&self, name: &str) -> Result<Description> {
        let domain = self.domain(name)?;
        let secure = virt_sys::VIR_DOMAIN_XML_SECURE;
        let running = domain
            .get_xml_desc(secure | virt_sys::VIR_DOMAIN_XML_MIGRATABLE)
            .map_err(|error| refused("describe", &domain, error))?;
        let persistent = is(&domain, domain.is_persistent())?;
        let definition = match persistent {
            true => Some(
                domain
                    .get_xml_desc(secure | virt_sys::VIR_DOMAIN_XML_INACTIVE)
                    .map_err(|error| refused("describe", &domain, error))?,
            ),
            false => None,
        };
        Ok(Description {
            running,
            definition,
            autostart: persistent && domain.get_autostart().unwrap_or(false),
            plugged: None,
        })
    }

    /// Makes the target of a migration: the same domain, its interface on this bridge, paused, waiting for
    /// QMP `migrate-incoming`.
    ///
    /// # Errors
    /// When a domain of that name is here, or libvirt cannot start it.
    pub fn create_incoming(&self, running: &str, mac: Mac, bridge: &str) -> Result<()> {
        let target = xml::target(running, mac, bridge)?;
        let (connection, _) = self.connection()?;
        let name = Definition::read(running)?.name()?;
        if Domain::lookup_by_name(&connection, &name).is_ok() {
            return Err(Error::Refused {
                what: "make",
                domain: name,
                why: "a domain of that name is on this host already; rename or undefine it"
                    .to_owned(),
            });
        }
        match Domain::create_xml(&connection, &target, virt_sys::VIR_DOMAIN_START_PAUSED) {
            Ok(_) => Ok(()),
            Err(error) => Err(Error::Refused {
                what: "make",
                domain: name,
                why: error.message().to_owned(),
            }),
        }
    }

    /// Starts a domain that is defined and does not run.
    ///
    /// # Errors
    /// libvirt's words.
    pub fn start(&self, name: &str) -> Result<()> {
        let domain = self.domain(name)?;
        if is(&domain, domain.is_active())? {
            return Ok(());
        }
        let started = domain.create();
        started
            .map(drop)
            .map_err(|error| refused("start", &domain, error))
    }

    /// Lets a paused domain run.
    ///
    /// # Errors
    /// libvirt's words.
    pub fn resume(&self, name: &str) -> Result<()> {
        let domain = self.domain(name)?;
        let resumed = domain.resume();
        resumed
            .map(drop)
            .map_err(|error| refused("resume", &domain, error))
    }

    /// Ends a domain's process, and waits until libvirt has seen it. Content when there is none.
    ///
    /// # Errors
    /// libvirt's words.
    pub fn destroy(&self, name: &str) -> Result<()> {
        let since = Instant::now();
        loop {
            let domain = match self.domain(name) {
                Err(Error::NoDomain(_)) => return Ok(()),
                other => other?,
            };
            if !domain.is_active().unwrap_or(false) {
                return Ok(());
            }
            match domain.destroy() {
                Ok(_) => {}
                Err(error) if since.elapsed() > GONE => {
                    return Err(refused("end", &domain, error));
                }
                // It is on its way out already.
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Forgets a domain's definition. Content when there is none.
    ///
    /// # Errors
    /// libvirt's words.
    pub fn undefine(&self, name: &str) -> Result<()> {
        let domain = match self.domain(name) {
            Err(Error::NoDomain(_)) => return Ok(()),
            other => other?,
        };
        if !domain.is_persistent().unwrap_or(false) {
            return Ok(());
        }
        let flags = virt_sys::VIR_DOMAIN_UNDEFINE_MANAGED_SAVE;
        let gone = domain.undefine_flags(flags);
        gone.map(drop)
            .map_err(|error| refused("undefine", &domain, error))
    }

    /// Defines a domain as it was where it came from; one that was only created stays so.
    ///
    /// # Errors
    /// libvirt's words.
    pub fn define(&self, description: &Description) -> Result<()> {
        let Some(definition) = &description.definition else {
            return Ok(());
        };
        let (connection, _) = self.connection()?;
        let name = Definition::read(definition)?.name()?;
        let domain =
            Domain::define_xml(&connection, definition).map_err(|error| Error::Refused {
                what: "define",
                domain: name,
                why: error.message().to_owned(),
            })?;
        let set = domain.set_autostart(description.autostart);
        set.map(drop)
            .map_err(|error| refused("let the host start", &domain, error))
    }

    /// Plugs a domain's interface into a bridge, in the running guest, which notices nothing, and in its
    /// definition. Gives what it was plugged into.
    ///
    /// # Errors
    /// When the domain has no such interface, or libvirt's words.
    pub fn plug(&self, name: &str, mac: Mac, into: &Plugged) -> Result<Plugged> {
        let domain = self.domain(name)?;
        let mut was = None;
        let persistent = is(&domain, domain.is_persistent())?;
        let places = [
            (
                is(&domain, domain.is_active())?,
                0,
                virt_sys::VIR_DOMAIN_AFFECT_LIVE,
            ),
            (
                persistent,
                virt_sys::VIR_DOMAIN_XML_INACTIVE,
                virt_sys::VIR_DOMAIN_AFFECT_CONFIG,
            ),
        ];
        for (_, which, impact) in places.into_iter().filter(|(there, _, _)| *there) {
            let said = domain
                .get_xml_desc(which | virt_sys::VIR_DOMAIN_XML_SECURE)
                .map_err(|error| refused("describe", &domain, error))?;
            let (interface, before) = Definition::read(&said)?.replugged(mac, into)?;
            if before != *into {
                domain
                    .update_device_flags(&interface, impact)
                    .map_err(|error| refused("plug the interface of", &domain, error))?;
            }
            // What the user wrote, rather than what libvirt made of it.
            was = Some(before);
        }
        was.ok_or_else(|| Error::NoDomain(name.to_owned()))
    }

    /// The host's interface behind a running domain's interface.
    ///
    /// # Errors
    /// When there is none.
    pub fn tap(&self, name: &str, mac: Mac) -> Result<String> {
        let found = self.find(name)?;
        let nic = found.nics.into_iter().find(|nic| nic.mac == mac);
        nic.and_then(|nic| nic.device)
            .ok_or_else(|| Error::Xml(format!("domain '{name}' has no interface {mac} that is up")))
    }

    /// The device alias of each disk, for example `vda` and `virtio-disk0`.
    ///
    /// # Errors
    /// When the domain is not here.
    pub fn aliases(&self, name: &str) -> Result<Vec<(String, String)>> {
        let domain = self.domain(name)?;
        let said = domain
            .get_xml_desc(0)
            .map_err(|error| refused("describe", &domain, error))?;
        Ok(Definition::read(&said)?.aliases())
    }
}

fn look(domain: &Domain) -> Result<Found> {
    let running = is(domain, domain.is_active())?;
    let said = domain
        .get_xml_desc(0)
        .map_err(|error| refused("describe", domain, error))?;
    let definition = Definition::read(&said)?;
    let mut found = definition.found()?;
    found.running = running;
    found.persistent = is(domain, domain.is_persistent())?;
    found.autostart = found.persistent && domain.get_autostart().unwrap_or(false);
    for image in &mut found.images {
        image.size = size(domain, image);
    }
    if let Ok(count) = snapshots(domain)
        && count > 0
    {
        found.obstacles.push(format!(
            "it has {count} snapshots, which would be lost; delete them (virsh snapshot-delete)"
        ));
    }
    Ok(found)
}

fn size(domain: &Domain, image: &Image) -> u64 {
    let about = domain.get_block_info(&image.name, 0);
    about.map(|about| about.capacity).unwrap_or_default()
}

fn snapshots(domain: &Domain) -> Result<usize> {
    // SAFETY: the domain is alive.
    let count = unsafe { virt_sys::virDomainSnapshotNum(domain.as_ptr(), 0) };
    match usize::try_from(count) {
        Ok(count) => Ok(count),
        Err(_) => Err(refused(
            "count the snapshots of",
            domain,
            virt::error::Error::last_error(),
        )),
    }
}

fn is(domain: &Domain, asked: std::result::Result<bool, virt::error::Error>) -> Result<bool> {
    asked.map_err(|error| refused("tell about", domain, error))
}

fn refused(what: &'static str, domain: &Domain, error: virt::error::Error) -> Error {
    Error::Refused {
        what,
        domain: domain.get_name().unwrap_or_default(),
        why: error.message().to_owned(),
    }
}
