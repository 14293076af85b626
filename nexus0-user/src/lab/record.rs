//! What a lab has made, written down before it is made, so that a later run can take it away when
//! the lab was killed.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::Signal;

use crate::lab::netns;
use crate::lab::process::Identity;

/// Where labs keep their folders.
pub const FOLDER: &str = "/run/nexus0-lab";
const RECORD: &str = "record";

/// The folder and the record of one lab; dropped, everything recorded is taken away.
#[derive(Debug)]
pub struct Record {
    id: String,
    folder: PathBuf,
    file: File,
}

#[derive(Debug, PartialEq, Eq)]
enum Entry {
    Owner(Identity),
    Netns(String),
    Mount(PathBuf),
    Process(Identity),
}

impl Record {
    /// Opens the record of a new lab under an id nobody uses.
    pub fn open() -> Result<Self> {
        fs::create_dir_all(FOLDER).with_context(|| format!("cannot make {FOLDER}"))?;
        for _ in 0..64 {
            let id = format!("{:04x}", getrandom::u32()? as u16);
            let folder = Path::new(FOLDER).join(&id);
            // Filled under another name first: a folder without an owner would look stale.
            let draft = Path::new(FOLDER).join(format!(".{id}.{}", std::process::id()));
            fs::create_dir(&draft)?;
            let path = draft.join(RECORD);
            let mut file = OpenOptions::new()
                .create_new(true)
                .append(true)
                .open(path)?;
            write_entry(&mut file, &Entry::Owner(Identity::own()?))?;
            match fs::rename(&draft, &folder) {
                Ok(()) => return Ok(Self { id, folder, file }),
                Err(_) => fs::remove_dir_all(&draft)?,
            }
        }
        bail!("no free lab id under {FOLDER}")
    }

    /// Four hexadecimal digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The lab's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Notes a namespace that is about to be made.
    pub fn netns(&mut self, name: &str) -> Result<()> {
        self.note(&Entry::Netns(name.to_owned()))
    }

    /// Notes a process that was just started.
    pub fn process(&mut self, process: Identity) -> Result<()> {
        self.note(&Entry::Process(process))
    }

    /// Mounts a BPF file system on a folder of the lab.
    pub fn mount_bpffs(&mut self, path: &Path) -> Result<()> {
        fs::create_dir_all(path)?;
        self.note(&Entry::Mount(path.to_owned()))?;
        mount(
            Some("bpf"),
            path,
            Some("bpf"),
            MsFlags::empty(),
            Some("mode=0700"),
        )
        .with_context(|| format!("cannot mount a BPF file system on {}", path.display()))
    }

    fn note(&mut self, entry: &Entry) -> Result<()> {
        write_entry(&mut self.file, entry).context("cannot write the lab's record")
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if let Err(error) = clear(&self.folder) {
            eprintln!("the lab left something behind: {error:#}");
        }
    }
}

/// Takes away what this process has made, before it ends in the midst of something.
pub fn clear_own() -> Result<()> {
    let own = Identity::own()?;
    let folders = fs::read_dir(FOLDER).into_iter().flatten();
    for folder in folders {
        let folder = folder?.path();
        if read(&folder).contains(&Entry::Owner(own)) {
            clear(&folder)?;
        }
    }
    Ok(())
}

/// Takes away what dead labs left and returns their ids.
pub fn clear_stale() -> Result<Vec<String>> {
    let Ok(folders) = fs::read_dir(FOLDER) else {
        return Ok(Vec::new());
    };
    let mut cleared = Vec::new();
    for folder in folders {
        let folder = folder?.path();
        if owner_lives(&folder) {
            continue;
        }
        clear(&folder).with_context(|| format!("cannot clear {}", folder.display()))?;
        cleared.push(
            folder
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
        );
    }
    Ok(cleared)
}

fn owner_lives(folder: &Path) -> bool {
    read(folder)
        .iter()
        .any(|entry| matches!(entry, Entry::Owner(owner) if owner.alive()))
}

fn clear(folder: &Path) -> Result<()> {
    let entries = read(folder);
    let namespaces: Vec<PathBuf> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Netns(name) => Some(Path::new(netns::FOLDER).join(name)),
            Entry::Owner(_) | Entry::Mount(_) | Entry::Process(_) => None,
        })
        .collect();
    for entry in entries.iter().rev() {
        match entry {
            Entry::Owner(_) => {}
            Entry::Process(process) => {
                if namespaces.iter().any(|namespace| process.is_in(namespace)) {
                    process.signal(Signal::SIGKILL);
                }
            }
            Entry::Mount(path) => {
                umount2(path, MntFlags::MNT_DETACH).ok();
            }
            Entry::Netns(name) => netns::remove(name)?,
        }
    }
    fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))
}

fn write_entry(file: &mut File, entry: &Entry) -> Result<()> {
    let line = match entry {
        Entry::Owner(Identity { pid, started }) => format!("owner {pid} {started}\n"),
        Entry::Process(Identity { pid, started }) => format!("process {pid} {started}\n"),
        Entry::Netns(name) => format!("netns {name}\n"),
        Entry::Mount(path) => format!("mount {}\n", path.display()),
    };
    file.write_all(line.as_bytes())?;
    Ok(())
}

fn read(folder: &Path) -> Vec<Entry> {
    let text = fs::read_to_string(folder.join(RECORD)).unwrap_or_default();
    text.lines()
        .filter_map(|line| parse(line, folder))
        .collect()
}

/// Reads a line; what names something outside the lab is passed over.
fn parse(line: &str, folder: &Path) -> Option<Entry> {
    let (kind, value) = line.split_once(' ')?;
    let process = || {
        let (pid, started) = value.split_once(' ')?;
        Some(Identity {
            pid: pid.parse().ok()?,
            started: started.parse().ok()?,
        })
    };
    match kind {
        "owner" => process().map(Entry::Owner),
        "process" => process().map(Entry::Process),
        "netns" if value.starts_with("nx0-") && !value.contains('/') => {
            Some(Entry::Netns(value.to_owned()))
        }
        "mount" if Path::new(value).starts_with(folder) => Some(Entry::Mount(value.into())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_names_only_what_belongs_to_its_lab() {
        let folder = Path::new("/run/nexus0-lab/00aa");
        let owner = Identity { pid: 7, started: 9 };
        assert_eq!(parse("owner 7 9", folder), Some(Entry::Owner(owner)));
        assert_eq!(
            parse("netns nx0-00aa-n1", folder),
            Some(Entry::Netns("nx0-00aa-n1".into()))
        );
        assert_eq!(parse("netns ../etc", folder), None);
        assert_eq!(parse("netns nx0-/../x", folder), None);
        assert_eq!(parse("mount /home", folder), None);
        let mount = Entry::Mount(folder.join("bpf"));
        assert_eq!(parse("mount /run/nexus0-lab/00aa/bpf", folder), Some(mount));
        assert_eq!(parse("process 7", folder), None);
        assert_eq!(parse("", folder), None);
    }
}
