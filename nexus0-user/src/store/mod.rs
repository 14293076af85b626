//! The files a node and a mesh root keep: identity, root key, serial counter, grant, revocation list,
//! convictions.
//!
//! A secret is written whole or not at all, belongs to the user who runs the program and is readable by
//! nobody else. A file that is not understood is reported and left alone.

mod convictions;
mod file;
mod grant;
mod identity;
pub mod revocations;
mod root;
mod secret;

use std::path::PathBuf;

pub use convictions::{CONVICTIONS_FOLDER, ConvictionsFolder};
pub use grant::{GRANT_FILE, GrantFile};
pub use identity::{IDENTITY_FILE, load_identity, load_or_create_identity};
pub use revocations::{REVOCATIONS_FILE, RevocationsFile};
pub use root::{MeshRootFile, PUBLIC_FILE, ROOT_FILE, SERIAL_FILE, read_public};

/// Why a file could not be used. Whatever the variant, no file was changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing is there.
    #[error("{} does not exist: {remedy}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What to do now.
        remedy: String,
    },
    /// Something is there where something new was to be made.
    #[error("{} exists already and is not overwritten: {remedy}", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
        /// What to do now.
        remedy: String,
    },
    /// Others could have read the secret.
    #[error(
        "{} can be read by others (mode {mode:04o}) and may be known to them: \
         `chmod 600` it if you are sure it is not, else make a new one",
        path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Another user could have written the secret.
    #[error(
        "{} belongs to user {owner}, but this is user {me}: run as that user or `chown {me}` it",
        path.display()
    )]
    Owner {
        /// The file.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
        /// Who is asking.
        me: u32,
    },
    /// The content is not what it should be.
    #[error(
        "{} is damaged: {what}. It is left as it is: restore a backup, or move it away and {remedy}",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
        /// What to do now.
        remedy: String,
    },
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

impl StoreError {
    /// Whether more rights would help.
    pub fn is_permission(&self) -> bool {
        match self {
            Self::Io { source, .. } => source.kind() == std::io::ErrorKind::PermissionDenied,
            Self::Owner { .. } => true,
            Self::Missing { .. }
            | Self::Exists { .. }
            | Self::Exposed { .. }
            | Self::Damaged { .. } => false,
        }
    }
}
