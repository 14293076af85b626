//! A node's own secret: `identity.key`, a line that says what it is, then the seed.

use std::path::{Path, PathBuf};

use nexus0_core::identity::{Identity, SEED_LEN};
use zeroize::Zeroizing;

use super::StoreError;
use super::file::{Replace, SECRET, make_folder, read_secret, write};
use super::secret;

/// Name of the identity in a node's state folder.
pub const IDENTITY_FILE: &str = "identity.key";

const TITLE: &str = "nexus0 identity 2";
const REMEDY: &str = "run `nexus0 identity` to make a new one (it needs a new grant)";

/// Reads the identity in a file.
pub fn load_identity(path: &Path) -> Result<Identity, StoreError> {
    let text = read_secret(path, REMEDY)?;
    let seed: Zeroizing<[u8; SEED_LEN]> =
        secret::parse(&text, TITLE).map_err(|what| StoreError::Damaged {
            path: path.to_owned(),
            what,
            remedy: REMEDY.into(),
        })?;
    Ok(Identity::from_seed(&seed))
}

/// Reads the identity in a state folder, making folder and identity on first use. Says whether it is new.
pub fn load_or_create_identity(folder: &Path) -> Result<(Identity, PathBuf, bool), StoreError> {
    let path = folder.join(IDENTITY_FILE);
    match load_identity(&path) {
        Ok(identity) => return Ok((identity, path, false)),
        Err(StoreError::Missing { .. }) => {}
        Err(other) => return Err(other),
    }
    make_folder(folder)?;
    let seed: Zeroizing<[u8; SEED_LEN]> = secret::random(&path)?;
    match write(&path, &secret::emit(TITLE, &*seed), SECRET, Replace::No) {
        Ok(()) => Ok((load_identity(&path)?, path, true)),
        // Somebody else was quicker; theirs is the identity.
        Err(StoreError::Exists { .. }) => Ok((load_identity(&path)?, path, false)),
        Err(other) => Err(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_folder::TestFolder;
    use std::fs;

    #[test]
    fn an_identity_is_made_once_and_stays() {
        let folder = TestFolder::new();
        let state = folder.path().join("state");
        let (first, path, new) = load_or_create_identity(&state).unwrap();
        assert!(new);
        let (second, _, new) = load_or_create_identity(&state).unwrap();
        assert!(!new);
        assert_eq!(first.node_id(), second.node_id());
        assert_eq!(path, state.join(IDENTITY_FILE));
    }

    #[test]
    fn a_damaged_identity_is_reported_and_left_alone() {
        let folder = TestFolder::new();
        let (_, path, _) = load_or_create_identity(folder.path()).unwrap();
        let whole = fs::read(&path).unwrap();
        let cut = &whole[..whole.len() / 2];
        fs::write(&path, cut).unwrap();
        let error = load_or_create_identity(folder.path()).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        assert_eq!(fs::read(&path).unwrap(), cut);
    }
}
