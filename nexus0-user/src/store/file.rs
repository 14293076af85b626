//! Reading with checks, and writing by temporary file, fsync and rename.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, Flock, FlockArg, RenameFlags, renameat2};
use nix::unistd::geteuid;
use zeroize::Zeroizing;

use super::StoreError;

/// Longest file that is read.
const LIMIT: u64 = 16 * 1024;
/// Permission bits of a secret.
pub(super) const SECRET: u32 = 0o600;
/// Permission bits of what everybody may know.
pub(super) const PUBLIC: u32 = 0o644;

/// Whether a file that stands in the way is replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Replace {
    /// The write fails.
    No,
    /// The new file takes its place.
    Yes,
}

/// Wraps an error of the operating system.
pub(super) fn io(
    action: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> StoreError + use<> {
    let path = path.to_owned();
    move |source| StoreError::Io {
        action,
        path,
        source,
    }
}

/// Makes a folder for secrets, and its parents.
pub(super) fn make_folder(path: &Path) -> Result<(), StoreError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(io("create folder", path))
}

/// Holds a lock file until it is dropped.
pub(super) fn lock(path: &Path) -> Result<Flock<File>, StoreError> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(SECRET)
        .open(path)
        .map_err(io("open", path))?;
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| io("lock", path)(errno.into()))
}

/// A public text file.
pub(super) fn read_text(path: &Path, remedy: &str) -> Result<String, StoreError> {
    let file = open(path, remedy)?;
    let bytes = read_limited(file, path)?;
    String::from_utf8(bytes.to_vec()).map_err(|_| StoreError::Damaged {
        path: path.to_owned(),
        what: "it is not text".into(),
        remedy: remedy.into(),
    })
}

/// A secret: a regular file, of this user, readable by nobody else.
pub(super) fn read_secret(path: &Path, remedy: &str) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let file = open(path, remedy)?;
    let about = file.metadata().map_err(io("look at", path))?;
    let me = geteuid().as_raw();
    if about.uid() != me {
        return Err(StoreError::Owner {
            path: path.to_owned(),
            owner: about.uid(),
            me,
        });
    }
    if about.mode() & 0o077 != 0 {
        return Err(StoreError::Exposed {
            path: path.to_owned(),
            mode: about.mode() & 0o7777,
        });
    }
    read_limited(file, path)
}

fn open(path: &Path, remedy: &str) -> Result<File, StoreError> {
    File::open(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => StoreError::Missing {
            path: path.to_owned(),
            remedy: remedy.to_owned(),
        },
        _ => io("open", path)(source),
    })
}

fn read_limited(file: File, path: &Path) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(LIMIT as usize));
    file.take(LIMIT)
        .read_to_end(&mut bytes)
        .map_err(io("read", path))?;
    Ok(bytes)
}

/// Writes a file so that after a power cut it is there whole or not at all.
pub(super) fn write(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    replace: Replace,
) -> Result<(), StoreError> {
    let folder = folder_of(path);
    let temporary = temporary_name(path);
    let written = write_temporary(&temporary, bytes, mode)
        .and_then(|()| rename(&temporary, path, replace))
        .and_then(|()| File::open(&folder)?.sync_all());
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => StoreError::Exists {
            path: path.to_owned(),
            remedy: "move it away first".into(),
        },
        _ => io("write", path)(source),
    })
}

fn write_temporary(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn rename(from: &Path, to: &Path, replace: Replace) -> io::Result<()> {
    match replace {
        Replace::Yes => fs::rename(from, to),
        Replace::No => renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE)
            .map_err(io::Error::from),
    }
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn temporary_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    folder_of(path).join(format!(".{name}.{}.new", std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_folder::TestFolder;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_secret_is_written_for_its_owner_alone_and_never_overwritten() {
        let folder = TestFolder::new();
        let path = folder.path().join("secret");
        write(&path, b"one", SECRET, Replace::No).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
            SECRET
        );
        let again = write(&path, b"two", SECRET, Replace::No);
        assert!(matches!(again, Err(StoreError::Exists { .. })), "{again:?}");
        assert_eq!(read_secret(&path, "").unwrap().as_slice(), b"one");
        write(&path, b"two", SECRET, Replace::Yes).unwrap();
        assert_eq!(read_secret(&path, "").unwrap().as_slice(), b"two");
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "a temporary file was left"
        );
    }

    #[test]
    fn an_exposed_secret_is_refused() {
        let folder = TestFolder::new();
        let path = folder.path().join("secret");
        write(&path, b"one", PUBLIC, Replace::No).unwrap();
        assert!(matches!(
            read_secret(&path, ""),
            Err(StoreError::Exposed { mode: 0o644, .. })
        ));
    }

    #[test]
    fn a_missing_file_says_what_to_do() {
        let error = read_secret(Path::new("/nowhere/secret"), "do this").unwrap_err();
        assert_eq!(error.to_string(), "/nowhere/secret does not exist: do this");
    }
}
