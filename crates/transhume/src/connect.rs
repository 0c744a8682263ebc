//! Where the controller is: what the user says, else the lab's socket, else the system's.

use crate::cli::Global;
use crate::failure::{Exit, Failure};
use api::Client;
use std::fs;
use std::path::{Path, PathBuf};

/// Where `transhume serve` listens unless told otherwise.
pub(crate) const SYSTEM_SOCKET: &str = "/run/transhume/api.sock";

/// Name of the controller's socket in the lab folder.
pub(crate) const LAB_SOCKET: &str = "api.sock";

/// The variable with the token for an API over TLS.
const TOKEN_VARIABLE: &str = "TRANSHUME_TOKEN";

/// A client of the controller that is meant. Opens nothing.
pub(crate) fn client(global: &Global) -> Result<Client, Failure> {
    match &global.api {
        None => Ok(Client::unix(found_socket())),
        Some(address) => match address.strip_prefix("unix:") {
            Some(path) if !path.is_empty() => Ok(Client::unix(path)),
            _ if address.starts_with("https://") => tls(address, global),
            _ if address.starts_with('/') => Ok(Client::unix(address)),
            _ => Err(Failure::new(
                Exit::Usage,
                format!("'{address}' is no address of a controller"),
                "Write unix:PATH, or https://HOST:PORT with --api-ca and --api-token-file.",
            )),
        },
    }
}

fn tls(url: &str, global: &Global) -> Result<Client, Failure> {
    let Some(ca) = &global.api_ca else {
        return Err(Failure::new(
            Exit::Usage,
            format!("the controller at {url} cannot be trusted without its CA's certificate"),
            "Give it with --api-ca FILE or TRANSHUME_API_CA.",
        ));
    };
    let ca = read(ca, "the CA's certificate")?;
    let token = match &global.api_token_file {
        Some(file) => String::from_utf8_lossy(&read(file, "the API token")?).into_owned(),
        None => std::env::var(TOKEN_VARIABLE).map_err(|_| {
            Failure::new(
                Exit::Usage,
                format!("the controller at {url} wants a token"),
                format!("Give it with --api-token-file FILE or {TOKEN_VARIABLE}."),
            )
        })?,
    };
    Client::tls(url, &ca, token.trim()).map_err(|error| Failure::of(Exit::Usage, &error))
}

fn read(file: &Path, what: &str) -> Result<Vec<u8>, Failure> {
    fs::read(file).map_err(|error| {
        let sentence = format!("cannot read {what} from {}: {error}", file.display());
        Failure::new(Exit::Usage, sentence, "")
    })
}

/// The lab's socket where a lab stands, else the system's.
fn found_socket() -> PathBuf {
    let lab = lab::folder::Folder::locate(None)
        .ok()
        .map(|folder| folder.join(LAB_SOCKET));
    lab.filter(|socket| socket.exists())
        .unwrap_or_else(|| PathBuf::from(SYSTEM_SOCKET))
}
