//! What went wrong, in words, and the exit code that says it to scripts.

use std::io;

use anyhow::anyhow;

use crate::api::ClientError;
use crate::store::StoreError;

/// Why a verb did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The node is there but not well; the words were printed already.
    Degraded,
    /// The command line or a value on it.
    Usage(String),
    /// There is no node to ask.
    NotRunning(String),
    /// The user may not do this.
    Permission(String),
    /// The interface is gone or made anew: start again once it is there.
    Again(String),
    /// Anything else.
    Other(anyhow::Error),
}

impl Failure {
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::Usage(text.into())
    }

    /// 0 is healthy.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Degraded | Self::Other(_) => 1,
            Self::Usage(_) => 2,
            Self::NotRunning(_) => 3,
            Self::Permission(_) => 4,
            Self::Again(_) => 5,
        }
    }

    /// What to say on standard error.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::Degraded => None,
            Self::Usage(text)
            | Self::NotRunning(text)
            | Self::Permission(text)
            | Self::Again(text) => Some(text.clone()),
            Self::Other(error) => Some(format!("{error:#}")),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::NotRunning(_) => Self::NotRunning(error.to_string()),
            ClientError::Permission(_) => Self::Permission(error.to_string()),
            other => Self::Other(anyhow!(other.to_string())),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        if error.is_permission() {
            Self::Permission(error.to_string())
        } else {
            Self::Other(anyhow!(error.to_string()))
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        let denied = error
            .chain()
            .filter_map(|cause| cause.downcast_ref::<io::Error>())
            .any(|cause| cause.kind() == io::ErrorKind::PermissionDenied);
        if denied {
            return Self::Permission(format!("{error:#}: this needs root"));
        }
        Self::Other(error)
    }
}
