//! Fixed newstyle negotiation, both sides.
//!
//! ```text
//! S: "NBDMAGIC" "IHAVEOPT" flags(16)
//! C: flags(32)
//! C: "IHAVEOPT" option(32) length(32) data        any number of times
//! S: 0x3e889045565a9 option(32) type(32) length(32) data
//! ```

use crate::NbdError;

const MAGIC: u64 = 0x4e42_444d_4147_4943;
const OPTION: u64 = 0x4948_4156_454f_5054;
const REPLY: u64 = 0x0003_e889_0455_65a9;
const FIXED_NEWSTYLE: u16 = 1;
const NO_ZEROES: u16 = 2;
/// Longest option, bytes: a name of 4096 and what goes with it.
const MAX_OPTION: u32 = 8192;

const OPT_EXPORT_NAME: u32 = 1;
const OPT_ABORT: u32 = 2;
const OPT_INFO: u32 = 6;
const OPT_GO: u32 = 7;

const REP_ACK: u32 = 1;
const REP_INFO: u32 = 3;
const REP_ERROR: u32 = 1 << 31;
const REP_ERR_UNSUP: u32 = REP_ERROR + 1;
const REP_ERR_INVALID: u32 = REP_ERROR + 3;
const REP_ERR_UNKNOWN: u32 = REP_ERROR + 6;

const INFO_EXPORT: u16 = 0;
const INFO_BLOCK_SIZE: u16 = 3;

const HAS_FLAGS: u16 = 1;
const SEND_FLUSH: u16 = 1 << 2;
const SEND_FUA: u16 = 1 << 3;
const SEND_TRIM: u16 = 1 << 5;
const SEND_WRITE_ZEROES: u16 = 1 << 6;

/// Something to connect to: writable, with flush, FUA, trim and write-zeroes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// Its name.
    pub name: String,
    /// Its size, bytes.
    pub size: u64,
}

/// What a client learnt of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Info {
    /// Its size, bytes.
    pub size: u64,
    /// Transmission flags as the server sent them.
    pub flags: u16,
}

impl Info {
    /// Whether it can be asked to write zeroes.
    pub fn writes_zeroes(self) -> bool {
        self.flags & SEND_WRITE_ZEROES != 0
    }

    /// Whether it takes writes.
    pub fn is_writable(self) -> bool {
        self.flags & 2 == 0
    }
}

/// Takes a prefix of `N` bytes off a buffer that has them.
fn head<const N: usize>(inbox: &[u8], at: usize) -> Option<[u8; N]> {
    inbox.get(at..at + N)?.try_into().ok()
}

fn magic(found: u64, wanted: u64) -> Result<(), NbdError> {
    (found == wanted)
        .then_some(())
        .ok_or(NbdError::Magic { wanted, found })
}

/// The server's side: one export is chosen, or the negotiation fails.
#[derive(Debug)]
pub struct ServerHandshake {
    exports: Vec<Export>,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    flags: Option<u32>,
}

impl ServerHandshake {
    /// Offers these; the greeting waits in [`ServerHandshake::output`].
    pub fn new(exports: Vec<Export>) -> Self {
        let mut outbox = MAGIC.to_be_bytes().to_vec();
        outbox.extend(OPTION.to_be_bytes());
        outbox.extend((FIXED_NEWSTYLE | NO_ZEROES).to_be_bytes());
        Self {
            exports,
            inbox: Vec::new(),
            outbox,
            flags: None,
        }
    }

    /// What must be sent, also after an error.
    pub fn output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.outbox)
    }

    /// What came after the negotiation: the beginning of the transmission.
    pub fn leftover(self) -> Vec<u8> {
        self.inbox
    }

    /// Takes bytes; gives the export when one is chosen.
    ///
    /// # Errors
    /// Bytes that are not the protocol, a name that is not offered in the way that cannot be
    /// answered (`NBD_OPT_EXPORT_NAME`), or an abort.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<Export>, NbdError> {
        self.inbox.extend_from_slice(bytes);
        if self.flags.is_none() {
            let Some(flags) = head(&self.inbox, 0).map(u32::from_be_bytes) else {
                return Ok(None);
            };
            self.inbox.drain(..4);
            self.flags = Some(flags);
        }
        while let Some((option, data)) = self.option()? {
            if let Some(export) = self.answer(option, &data)? {
                return Ok(Some(export));
            }
        }
        Ok(None)
    }

    fn option(&mut self) -> Result<Option<(u32, Vec<u8>)>, NbdError> {
        let (Some(found), Some(option), Some(length)) = (
            head(&self.inbox, 0).map(u64::from_be_bytes),
            head(&self.inbox, 8).map(u32::from_be_bytes),
            head(&self.inbox, 12).map(u32::from_be_bytes),
        ) else {
            return Ok(None);
        };
        magic(found, OPTION)?;
        if length > MAX_OPTION {
            return Err(NbdError::TooLong(length.into()));
        }
        let end = 16 + length as usize;
        if self.inbox.len() < end {
            return Ok(None);
        }
        let data = self.inbox[16..end].to_vec();
        self.inbox.drain(..end);
        Ok(Some((option, data)))
    }

    fn answer(&mut self, option: u32, data: &[u8]) -> Result<Option<Export>, NbdError> {
        match option {
            OPT_EXPORT_NAME => {
                let export = self.find(data)?;
                self.outbox.extend(export.size.to_be_bytes());
                self.outbox.extend(transmission_flags().to_be_bytes());
                if self.flags.unwrap_or_default() & u32::from(NO_ZEROES) == 0 {
                    self.outbox.extend([0; 124]);
                }
                Ok(Some(export))
            }
            OPT_ABORT => {
                self.reply(option, REP_ACK, &[]);
                Err(NbdError::Aborted)
            }
            OPT_INFO | OPT_GO => {
                let name = head(data, 0)
                    .map(u32::from_be_bytes)
                    .and_then(|length| data.get(4..)?.get(..length as usize));
                let Some(name) = name else {
                    self.reply(option, REP_ERR_INVALID, b"no name");
                    return Ok(None);
                };
                let Ok(export) = self.find(name) else {
                    self.reply(option, REP_ERR_UNKNOWN, b"no such export");
                    return Ok(None);
                };
                let mut info = INFO_EXPORT.to_be_bytes().to_vec();
                info.extend(export.size.to_be_bytes());
                info.extend(transmission_flags().to_be_bytes());
                self.reply(option, REP_INFO, &info);
                let mut sizes = INFO_BLOCK_SIZE.to_be_bytes().to_vec();
                for size in [1, 4096, crate::MAX_PAYLOAD] {
                    sizes.extend(size.to_be_bytes());
                }
                self.reply(option, REP_INFO, &sizes);
                self.reply(option, REP_ACK, &[]);
                Ok((option == OPT_GO).then_some(export))
            }
            _ => {
                self.reply(option, REP_ERR_UNSUP, &[]);
                Ok(None)
            }
        }
    }

    fn find(&self, name: &[u8]) -> Result<Export, NbdError> {
        let found = self.exports.iter().find(|it| it.name.as_bytes() == name);
        found
            .cloned()
            .ok_or_else(|| NbdError::NoExport(String::from_utf8_lossy(name).into_owned()))
    }

    fn reply(&mut self, option: u32, kind: u32, data: &[u8]) {
        self.outbox.extend(REPLY.to_be_bytes());
        self.outbox.extend(option.to_be_bytes());
        self.outbox.extend(kind.to_be_bytes());
        self.outbox.extend((data.len() as u32).to_be_bytes());
        self.outbox.extend_from_slice(data);
    }
}

fn transmission_flags() -> u16 {
    HAS_FLAGS | SEND_FLUSH | SEND_FUA | SEND_TRIM | SEND_WRITE_ZEROES
}

/// The client's side: asks for one export with `NBD_OPT_GO`.
#[derive(Debug)]
pub struct ClientHandshake {
    export: String,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    greeted: bool,
    info: Option<Info>,
}

impl ClientHandshake {
    /// Will ask for this export.
    pub fn new(export: &str) -> Self {
        Self {
            export: export.to_owned(),
            inbox: Vec::new(),
            outbox: Vec::new(),
            greeted: false,
            info: None,
        }
    }

    /// What must be sent.
    pub fn output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.outbox)
    }

    /// Takes bytes; gives what is known of the export when the transmission begins.
    ///
    /// # Errors
    /// Bytes that are not the protocol, or the server's refusal.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<Info>, NbdError> {
        self.inbox.extend_from_slice(bytes);
        if !self.greeted {
            let (Some(first), Some(second), Some(flags)) = (
                head(&self.inbox, 0).map(u64::from_be_bytes),
                head(&self.inbox, 8).map(u64::from_be_bytes),
                head(&self.inbox, 16).map(u16::from_be_bytes),
            ) else {
                return Ok(None);
            };
            magic(first, MAGIC)?;
            magic(second, OPTION)?;
            if flags & FIXED_NEWSTYLE == 0 {
                return Err(NbdError::Old);
            }
            self.inbox.drain(..18);
            self.greeted = true;
            let ours = u32::from(FIXED_NEWSTYLE | (flags & NO_ZEROES));
            self.outbox.extend(ours.to_be_bytes());
            self.outbox.extend(OPTION.to_be_bytes());
            self.outbox.extend(OPT_GO.to_be_bytes());
            let length = 4 + self.export.len() + 2;
            self.outbox.extend((length as u32).to_be_bytes());
            self.outbox.extend((self.export.len() as u32).to_be_bytes());
            self.outbox.extend(self.export.as_bytes());
            self.outbox.extend(0u16.to_be_bytes());
        }
        while let Some((kind, data)) = self.reply()? {
            match kind {
                REP_INFO if head(&data, 0).map(u16::from_be_bytes) == Some(INFO_EXPORT) => {
                    let size = head(&data, 2).map(u64::from_be_bytes);
                    let flags = head(&data, 10).map(u16::from_be_bytes);
                    if let (Some(size), Some(flags)) = (size, flags) {
                        self.info = Some(Info { size, flags });
                    }
                }
                REP_ACK => return self.info.map(Some).ok_or_else(|| self.refused("no size")),
                kind if kind & REP_ERROR != 0 => {
                    let words = String::from_utf8_lossy(&data).into_owned();
                    let code = format!("error {}", kind & !REP_ERROR);
                    return Err(self.refused(if words.is_empty() { &code } else { &words }));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    fn refused(&self, why: &str) -> NbdError {
        NbdError::Refused {
            export: self.export.clone(),
            why: why.to_owned(),
        }
    }

    fn reply(&mut self) -> Result<Option<(u32, Vec<u8>)>, NbdError> {
        let (Some(found), Some(kind), Some(length)) = (
            head(&self.inbox, 0).map(u64::from_be_bytes),
            head(&self.inbox, 12).map(u32::from_be_bytes),
            head(&self.inbox, 16).map(u32::from_be_bytes),
        ) else {
            return Ok(None);
        };
        magic(found, REPLY)?;
        if length > MAX_OPTION {
            return Err(NbdError::TooLong(length.into()));
        }
        let end = 20 + length as usize;
        if self.inbox.len() < end {
            return Ok(None);
        }
        let data = self.inbox[20..end].to_vec();
        self.inbox.drain(..end);
        Ok(Some((kind, data)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn exports() -> Vec<Export> {
        let export = |name: &str, size| Export {
            name: name.into(),
            size,
        };
        vec![export("root", 1 << 30), export("data", 77 << 20)]
    }

    /// Both sides, with the bytes cut into pieces of `piece`.
    fn negotiate(
        name: &str,
        piece: usize,
    ) -> (
        Result<Option<Export>, NbdError>,
        Result<Option<Info>, NbdError>,
    ) {
        let (mut server, mut client) =
            (ServerHandshake::new(exports()), ClientHandshake::new(name));
        let (mut chosen, mut known) = (Ok(None), Ok(None));
        for _ in 0..4 {
            for part in server.output().chunks(piece) {
                known = client.feed(part);
            }
            for part in client.output().chunks(piece) {
                chosen = server.feed(part);
            }
            if !matches!(known, Ok(None)) {
                break;
            }
        }
        (chosen, known)
    }

    #[test]
    fn a_client_gets_the_export_it_asks_for_however_the_bytes_are_cut() {
        for piece in [1, 2, 7, 1000] {
            let (chosen, known) = negotiate("data", piece);
            assert_eq!(chosen.unwrap().unwrap().name, "data");
            let info = known.unwrap().unwrap();
            assert_eq!(info.size, 77 << 20);
            assert!(info.is_writable() && info.writes_zeroes());
        }
    }

    #[test]
    fn an_unknown_export_is_refused_by_name() {
        let (_, known) = negotiate("swap", 100);
        assert_eq!(
            known.unwrap_err().to_string(),
            "the NBD server refused export 'swap': no such export"
        );
    }

    #[test]
    fn an_option_that_is_not_offered_is_answered_and_the_negotiation_goes_on() {
        let mut server = ServerHandshake::new(exports());
        server.output();
        let mut bytes = 3u32.to_be_bytes().to_vec();
        bytes.extend(OPTION.to_be_bytes());
        bytes.extend(8u32.to_be_bytes());
        bytes.extend(0u32.to_be_bytes());
        assert_eq!(server.feed(&bytes), Ok(None));
        let answer = server.output();
        assert_eq!(answer[12..16], REP_ERR_UNSUP.to_be_bytes());
    }

    proptest! {
        #[test]
        fn whatever_comes_a_handshake_does_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = ServerHandshake::new(exports()).feed(&bytes);
            let _ = ClientHandshake::new("root").feed(&bytes);
            let mut greeted = ClientHandshake::new("root");
            let _ = greeted.feed(&ServerHandshake::new(exports()).output());
            let _ = greeted.feed(&bytes);
        }
    }
}
