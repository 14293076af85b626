//! A network namespace with a name that `ip netns` shows, entered by a thread or by a child before
//! it starts. Nothing here changes the caller's own namespace.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, anyhow};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

/// Where `ip netns` looks.
pub const FOLDER: &str = "/run/netns";

/// A named network namespace; [`remove`] is its end.
#[derive(Debug)]
pub struct Netns {
    name: String,
    file: File,
}

impl Netns {
    /// Makes a namespace and binds it to its name.
    pub fn create(name: &str) -> Result<Self> {
        fs::create_dir_all(FOLDER).with_context(|| format!("cannot make {FOLDER}"))?;
        let path = path(name);
        File::create_new(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let bound = in_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            let own = Path::new("/proc/thread-self/ns/net");
            mount(
                Some(own),
                &path,
                None::<&str>,
                MsFlags::MS_BIND,
                None::<&str>,
            )
        });
        if let Err(error) = bound {
            fs::remove_file(&path).ok();
            return Err(error).with_context(|| format!("cannot make network namespace {name}"));
        }
        let file = File::open(&path)?;
        Ok(Self {
            name: name.to_owned(),
            file,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that stands for it.
    pub fn path(&self) -> PathBuf {
        path(&self.name)
    }

    /// Does something inside, in a thread of its own.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        in_thread(|| {
            self.enter()?;
            Ok(work())
        })
        .map_err(|error: io::Error| anyhow!(error))
        .with_context(|| format!("cannot enter network namespace {}", self.name))
    }

    /// Moves the calling thread inside, for good.
    pub fn enter(&self) -> io::Result<()> {
        setns(self.file.as_fd(), CloneFlags::CLONE_NEWNET).map_err(io::Error::from)
    }

    /// Makes a command start inside.
    pub fn adopt(&self, command: &mut Command) -> Result<()> {
        let file = self.file.try_clone()?;
        let inside = move || setns(file.as_fd(), CloneFlags::CLONE_NEWNET).map_err(io::Error::from);
        // SAFETY: between fork and exec the closure makes one system call on a descriptor it owns.
        unsafe { command.pre_exec(inside) };
        Ok(())
    }
}

/// Unbinds a name; the namespace goes when its last process has gone.
pub fn remove(name: &str) -> io::Result<()> {
    let path = path(name);
    umount2(&path, MntFlags::MNT_DETACH).ok();
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn path(name: &str) -> PathBuf {
    Path::new(FOLDER).join(name)
}

fn in_thread<T: Send, E: Send>(work: impl FnOnce() -> Result<T, E> + Send) -> Result<T, E> {
    thread::scope(|scope| match scope.spawn(work).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}
