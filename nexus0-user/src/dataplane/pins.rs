//! The private bpffs folder where link and maps outlive the controller.
//!
//! `RUN_DIR/bpf/INTERFACE/` holds one pin per map and `link`. The bpffs is mounted at `RUN_DIR/bpf` on
//! first use.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use super::error::{AttachError, missing_capabilities};
use super::program::PINNED;

const LINK: &str = "link";

/// The pins of one interface.
#[derive(Debug)]
pub(super) struct Pins {
    folder: PathBuf,
}

/// What [`detach`] found and removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detached {
    /// A filter was attached.
    pub link: bool,
    /// Number of pinned maps.
    pub maps: usize,
}

pub(super) fn folder(run_dir: &Path, interface: &str) -> PathBuf {
    run_dir.join("bpf").join(interface)
}

/// Whether a filter is pinned for the interface.
pub fn pinned(run_dir: &Path, interface: &str) -> bool {
    folder(run_dir, interface).join(LINK).exists()
}

impl Pins {
    /// Makes the folder, and the bpffs it lies in where there is none.
    pub(super) fn open(run_dir: &Path, interface: &str) -> Result<Self, AttachError> {
        let root = run_dir.join("bpf");
        make_folder(&root)?;
        if !is_bpffs(&root) {
            mount_bpffs(&root)?;
        }
        let folder = folder(run_dir, interface);
        make_folder(&folder)?;
        Ok(Self { folder })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn link(&self) -> PathBuf {
        self.folder.join(LINK)
    }

    /// Whether link and all maps of an earlier controller are there.
    pub(super) fn complete(&self) -> bool {
        self.link().exists() && PINNED.iter().all(|map| self.folder.join(map).exists())
    }

    pub(super) fn remove_link(&self) -> Result<(), AttachError> {
        let path = self.link();
        fs::remove_file(&path).map_err(|source| AttachError::Pins {
            step: "remove",
            path,
            source,
        })
    }
}

fn make_folder(path: &Path) -> Result<(), AttachError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| {
            if source.kind() == io::ErrorKind::PermissionDenied {
                return AttachError::Permission {
                    step: "making the folder for pins",
                    missing: missing_capabilities(),
                };
            }
            AttachError::Pins {
                step: "make",
                path: path.to_owned(),
                source,
            }
        })
}

fn is_bpffs(path: &Path) -> bool {
    statfs(path).is_ok_and(|info| info.filesystem_type() == BPF_FS_MAGIC)
}

fn mount_bpffs(root: &Path) -> Result<(), AttachError> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    match mount(Some("bpf"), root, Some("bpf"), flags, Some("mode=0700")) {
        Ok(()) => Ok(()),
        Err(Errno::EPERM | Errno::EACCES) => Err(AttachError::Permission {
            step: "mounting a bpffs for the pins (this takes CAP_SYS_ADMIN once; or mount it yourself)",
            missing: missing_capabilities(),
        }),
        Err(error) => Err(AttachError::Pins {
            step: "mount a bpffs at",
            path: root.to_owned(),
            source: error.into(),
        }),
    }
}

/// Takes the filter off an interface and leaves nothing: link, maps, folder, and the bpffs once it is
/// empty.
pub fn detach(run_dir: &Path, interface: &str) -> io::Result<Detached> {
    let folder = folder(run_dir, interface);
    let mut found = Detached {
        link: false,
        maps: 0,
    };
    if folder.is_dir() {
        // The link first: while it stands, the maps must.
        found.link = remove_if_there(&folder.join(LINK))?;
        for entry in fs::read_dir(&folder)? {
            fs::remove_file(entry?.path())?;
            found.maps += 1;
        }
        fs::remove_dir(&folder)?;
    }
    remove_empty_mount(&run_dir.join("bpf"))?;
    Ok(found)
}

fn remove_if_there(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn remove_empty_mount(root: &Path) -> io::Result<()> {
    if !root.is_dir() || fs::read_dir(root)?.any(|entry| !is_kernels_own(&entry)) {
        return Ok(());
    }
    if is_bpffs(root) && is_mount_point(root)? {
        umount2(root, MntFlags::MNT_DETACH)?;
    }
    match fs::remove_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Ok(()),
        other => other,
    }
}

/// `maps.debug` and `progs.debug` stand in a bpffs from the beginning.
fn is_kernels_own(entry: &io::Result<fs::DirEntry>) -> bool {
    entry
        .as_ref()
        .is_ok_and(|entry| entry.path().extension() == Some("debug".as_ref()))
}

fn is_mount_point(path: &Path) -> io::Result<bool> {
    let parent = path.parent().unwrap_or(path);
    Ok(fs::metadata(path)?.dev() != fs::metadata(parent)?.dev())
}
