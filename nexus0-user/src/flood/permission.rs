//! Where the flood may go: into a lab, or where the owner of the link says so.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Result, bail};

use crate::lab::netns;

/// Refuses unless the calling thread is in a namespace that a lab made or the owner has agreed.
pub fn check(interface: &str, owned: bool) -> Result<()> {
    if owned || in_a_lab() {
        return Ok(());
    }
    bail!(
        "{interface} is not in a lab's network namespace: everyone on that link would be flooded. \
         If the whole link is yours, say so with --i-own-this-link"
    )
}

fn in_a_lab() -> bool {
    let Ok(own) = fs::metadata("/proc/thread-self/ns/net") else {
        return false;
    };
    let Ok(names) = fs::read_dir(netns::FOLDER) else {
        return false;
    };
    names
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("nx0-"))
        .any(|entry| is_same(&entry.path(), &own))
}

fn is_same(path: &Path, own: &fs::Metadata) -> bool {
    fs::metadata(path).is_ok_and(|other| (other.dev(), other.ino()) == (own.dev(), own.ino()))
}
