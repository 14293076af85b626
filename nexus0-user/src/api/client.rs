//! Asking a running node, from the command line or from the lab.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::types::{DropLine, Refusal, Request};

/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why a question was not answered.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("no node is running behind {}", .0.display())]
    NotRunning(PathBuf),
    /// The socket belongs to another user.
    #[error("{} may be used by its owner only: run as root", .0.display())]
    Permission(PathBuf),
    /// The node listens but does not answer.
    #[error("the node behind {} does not answer: {source}", path.display())]
    Silent {
        /// The socket.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The node answered something else.
    #[error("the node's answer is not understood ({0}): is it another version?")]
    Answer(#[from] serde_json::Error),
    /// The node refused to answer.
    #[error("the node refused: {0}")]
    Refused(String),
}

/// One connection to a node.
pub struct Client {
    path: PathBuf,
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects to the socket at `path`, see [`super::socket_path`].
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                ClientError::NotRunning(path.to_owned())
            }
            io::ErrorKind::PermissionDenied => ClientError::Permission(path.to_owned()),
            _ => ClientError::Silent {
                path: path.to_owned(),
                source,
            },
        })?;
        let client = Self {
            path: path.to_owned(),
            stream: BufReader::new(stream),
        };
        client
            .set_patience(Some(PATIENCE))
            .map_err(|e| client.silent(e))?;
        Ok(client)
    }

    /// Asks one question. `T` is the type that [`Request`] names for it.
    pub fn ask<T: DeserializeOwned>(&mut self, request: &Request) -> Result<T, ClientError> {
        self.send(request)?;
        let line = self.line()?;
        if let Ok(refusal) = serde_json::from_str::<Refusal>(&line) {
            return Err(ClientError::Refused(refusal.error));
        }
        Ok(serde_json::from_str(&line)?)
    }

    /// Hands each sampled refused frame to `each` until it says no or the node ends.
    pub fn follow(
        mut self,
        reason: Option<String>,
        from: Option<String>,
        mut each: impl FnMut(DropLine) -> bool,
    ) -> Result<(), ClientError> {
        self.send(&Request::Follow { reason, from })?;
        self.set_patience(None).map_err(|e| self.silent(e))?;
        loop {
            let line = match self.line() {
                Err(ClientError::Silent { source, .. })
                    if source.kind() == io::ErrorKind::UnexpectedEof =>
                {
                    return Ok(());
                }
                other => other?,
            };
            if let Ok(refusal) = serde_json::from_str::<Refusal>(&line) {
                return Err(ClientError::Refused(refusal.error));
            }
            if !each(serde_json::from_str(&line)?) {
                return Ok(());
            }
        }
    }

    fn send(&mut self, request: &Request) -> Result<(), ClientError> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.stream
            .get_ref()
            .write_all(&line)
            .map_err(|e| self.silent(e))
    }

    fn line(&mut self) -> Result<String, ClientError> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => Err(self.silent(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => Ok(line),
            Err(source) => Err(self.silent(source)),
        }
    }

    fn set_patience(&self, patience: Option<Duration>) -> io::Result<()> {
        self.stream.get_ref().set_write_timeout(Some(PATIENCE))?;
        self.stream.get_ref().set_read_timeout(patience)
    }

    fn silent(&self, source: io::Error) -> ClientError {
        ClientError::Silent {
            path: self.path.clone(),
            source,
        }
    }
}
