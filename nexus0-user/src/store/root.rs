//! The mesh root's files: the secret, its public half for the nodes, and the counter of grants.

use std::fs::File;
use std::path::{Path, PathBuf};

use nexus0_core::grant::MeshRoot;
use nexus0_core::identity::SEED_LEN;
use nix::fcntl::Flock;
use zeroize::Zeroizing;

use super::StoreError;
use super::file::{PUBLIC, Replace, SECRET, lock, make_folder, read_secret, read_text, write};
use super::secret;
use crate::hex;

/// Name of the root's secret.
pub const ROOT_FILE: &str = "mesh-root.key";
/// Name of the root's public key.
pub const PUBLIC_FILE: &str = "mesh-root.pub";
/// Name of the counter of grants.
pub const SERIAL_FILE: &str = "mesh-root.serial";

const TITLE: &str = "nexus0 mesh root 1";
const REMEDY: &str = "run `nexus0 mesh init` (a new root is a new mesh)";

/// An opened mesh root.
#[derive(Debug)]
pub struct MeshRootFile {
    /// The key pair.
    pub root: MeshRoot,
    folder: PathBuf,
}

impl MeshRootFile {
    /// Makes a root; fails if there is one.
    pub fn create(folder: &Path) -> Result<Self, StoreError> {
        make_folder(folder)?;
        let path = folder.join(ROOT_FILE);
        let seed: Zeroizing<[u8; SEED_LEN]> = secret::random(&path)?;
        write(&path, &secret::emit(TITLE, &*seed), SECRET, Replace::No)?;
        let made = Self {
            root: MeshRoot::from_seed(&seed),
            folder: folder.to_owned(),
        };
        let public = format!("{}\n", hex::encode(&made.root.public_key()));
        write(
            &folder.join(PUBLIC_FILE),
            public.as_bytes(),
            PUBLIC,
            Replace::Yes,
        )?;
        // Written last: a root without its counter must not begin again at 1.
        write(&folder.join(SERIAL_FILE), b"0\n", SECRET, Replace::Yes)?;
        Ok(made)
    }

    /// Opens the root in a folder.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(ROOT_FILE);
        let text = read_secret(&path, REMEDY)?;
        let seed: Zeroizing<[u8; SEED_LEN]> =
            secret::parse(&text, TITLE).map_err(|what| StoreError::Damaged {
                path,
                what,
                remedy: REMEDY.into(),
            })?;
        Ok(Self {
            root: MeshRoot::from_seed(&seed),
            folder: folder.to_owned(),
        })
    }

    /// The highest serial given out; 0 for none.
    pub fn last_serial(&self) -> Result<u32, StoreError> {
        let path = self.folder.join(SERIAL_FILE);
        let remedy = format!("{COUNTER_REMEDY} {}", path.display());
        let text = read_secret(&path, &remedy)?;
        let number = std::str::from_utf8(&text).ok();
        let number = number.and_then(|text| text.trim().parse().ok());
        number.ok_or(StoreError::Damaged {
            path,
            what: "it is not a number".into(),
            remedy,
        })
    }

    /// A serial never given out before. On disk before it is returned: one that was lost stays unused.
    pub fn next_serial(&self) -> Result<u32, StoreError> {
        let path = self.folder.join(SERIAL_FILE);
        let _lock = self.lock()?;
        let damaged = |what: &str| StoreError::Damaged {
            path: path.clone(),
            what: what.into(),
            remedy: format!("{COUNTER_REMEDY} {}", path.display()),
        };
        let next = self
            .last_serial()?
            .checked_add(1)
            .ok_or_else(|| damaged("all serials are used up"))?;
        write(&path, format!("{next}\n").as_bytes(), SECRET, Replace::Yes)?;
        Ok(next)
    }

    fn lock(&self) -> Result<Flock<File>, StoreError> {
        lock(&self.folder.join(".mesh-root.lock"))
    }
}

const COUNTER_REMEDY: &str = "write the highest serial ever granted, and nothing else, into";

/// A mesh root's public key, from a file such as `mesh-root.pub`.
pub fn read_public(path: &Path) -> Result<[u8; 32], StoreError> {
    let remedy = "copy mesh-root.pub from the machine that keeps the mesh root";
    let text = read_text(path, remedy)?;
    hex::decode_array(&text).map_err(|error| StoreError::Damaged {
        path: path.to_owned(),
        what: format!("it is no public key ({error})"),
        remedy: remedy.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_folder::TestFolder;
    use std::fs;

    #[test]
    fn a_root_is_made_once_and_counts_upwards_across_restarts() {
        let folder = TestFolder::new();
        let made = MeshRootFile::create(folder.path()).unwrap();
        assert_eq!(made.next_serial().unwrap(), 1);
        assert_eq!(made.next_serial().unwrap(), 2);
        let again = MeshRootFile::create(folder.path());
        assert!(matches!(again, Err(StoreError::Exists { .. })));
        let opened = MeshRootFile::open(folder.path()).unwrap();
        assert_eq!(opened.root.mesh_id(), made.root.mesh_id());
        assert_eq!(opened.next_serial().unwrap(), 3);
        let public = read_public(&folder.path().join(PUBLIC_FILE)).unwrap();
        assert_eq!(public, made.root.public_key());
    }

    #[test]
    fn a_lost_or_damaged_counter_never_starts_again() {
        let folder = TestFolder::new();
        let made = MeshRootFile::create(folder.path()).unwrap();
        let path = folder.path().join(SERIAL_FILE);
        fs::write(&path, "seven").unwrap();
        assert!(matches!(
            made.next_serial(),
            Err(StoreError::Damaged { .. })
        ));
        fs::remove_file(&path).unwrap();
        assert!(matches!(
            made.next_serial(),
            Err(StoreError::Missing { .. })
        ));
    }

    #[test]
    fn two_hands_never_get_the_same_serial() {
        let folder = TestFolder::new();
        let made = MeshRootFile::create(folder.path()).unwrap();
        let mut serials: Vec<u32> = std::thread::scope(|scope| {
            let draw = || {
                (0..20)
                    .map(|_| made.next_serial().unwrap())
                    .collect::<Vec<_>>()
            };
            let hands: Vec<_> = (0..4).map(|_| scope.spawn(draw)).collect();
            hands
                .into_iter()
                .flat_map(|hand| hand.join().unwrap())
                .collect()
        });
        serials.sort_unstable();
        assert_eq!(serials, (1..=80).collect::<Vec<_>>());
    }
}
