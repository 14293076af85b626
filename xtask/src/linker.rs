//! Which bpf-linker links the filter: one whose LLVM is not older than the compiler's.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::toolchain::Compiler;
use crate::{apt, cmd, paths, probe};

const VERSION: &str = "0.13.0";
/// The newest LLVM that this bpf-linker knows.
const NEWEST_LLVM: u32 = 23;

/// A bpf-linker that `compiler` can link with; builds one if there is none.
pub(crate) fn find_or_install(compiler: &Compiler, target: &Path) -> Result<PathBuf> {
    let own = paths::tools(target).join("bin/bpf-linker");
    for linker in [Some(own.clone()), cmd::find("bpf-linker")]
        .into_iter()
        .flatten()
    {
        if is_current(&linker) && probe::links(compiler, &linker, target) {
            return Ok(linker);
        }
    }
    for source in Source::all(compiler) {
        let built = source.build(target);
        if built.is_ok() && probe::links(compiler, &own, target) {
            return Ok(own);
        }
        if let Err(error) = built {
            eprintln!("that did not work: {error:#}");
        }
    }
    bail!("{}", by_hand(compiler, &own, target))
}

/// Whether the linker is there and starts.
pub(crate) fn is_current(linker: &Path) -> bool {
    linker.is_file() && cmd::read(Command::new(linker).arg("--version")).is_ok()
}

/// An LLVM that bpf-linker can be built against.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    /// The compiler's own shared library: on every machine with rustup, and never too old.
    Compiler { llvm: u32, library: PathBuf },
    /// The distribution's development files, installed.
    Installed(u32),
    /// The distribution's development files, offered by apt.
    Offered(u32),
}

impl Source {
    /// What there is, in the order to try; apt is asked only if the others did not do.
    fn all(compiler: &Compiler) -> impl Iterator<Item = Self> {
        let oldest = compiler.llvm().unwrap_or(NEWEST_LLVM);
        let own = compiler
            .llvm_library()
            .filter(|_| oldest <= NEWEST_LLVM)
            .map(|library| Self::Compiler {
                llvm: oldest,
                library,
            });
        let newer = oldest..=NEWEST_LLVM;
        let installed = newer.clone().filter(|&llvm| prefix(llvm).is_some());
        let offered = newer.filter(|&llvm| prefix(llvm).is_none() && apt::offers(&[package(llvm)]));
        own.into_iter()
            .chain(installed.map(Self::Installed))
            .chain(offered.map(Self::Offered))
    }

    fn build(&self, target: &Path) -> Result<()> {
        match self {
            Self::Compiler { llvm, library } => {
                eprintln!("building bpf-linker {VERSION} against the compiler's own LLVM {llvm}");
                build(*llvm, &adopt(library, target)?, target)
            }
            Self::Installed(llvm) => {
                let prefix = prefix(*llvm).context("it is gone")?;
                eprintln!("building bpf-linker {VERSION} against {}", prefix.display());
                build(*llvm, &prefix, target)
            }
            Self::Offered(llvm) => {
                apt::install(&[package(*llvm)], "bpf-linker is built against it")?;
                Self::Installed(*llvm).build(target)
            }
        }
    }
}

/// `cargo install` into the target folder, over nothing of the user's.
fn build(llvm: u32, prefix: &Path, target: &Path) -> Result<()> {
    eprintln!("this takes a minute or two, once");
    let mut command = cmd::cargo();
    command
        .args(install(llvm))
        .args(["--quiet", "--force"])
        .arg("--root")
        .arg(paths::tools(target))
        .env("LLVM_PREFIX", prefix);
    cmd::run(&mut command)
}

fn install(llvm: u32) -> [String; 7] {
    let feature = format!("llvm-{llvm}");
    [
        "install",
        &format!("bpf-linker@{VERSION}"),
        "--locked",
        "--no-default-features",
        "--features",
        &feature,
        "--bins",
    ]
    .map(str::to_owned)
}

/// A folder in which the library has the name that linkers ask for, beside the name that it was built with
/// and that programs ask for when they start.
fn adopt(library: &Path, target: &Path) -> Result<PathBuf> {
    let prefix = paths::tools(target).join("llvm");
    let folder = prefix.join("lib");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let name = library.file_name().context("a library has a name")?;
    symlink(library, folder.join(name))?;
    symlink(library, folder.join("libLLVM.so"))?;
    Ok(prefix)
}

/// Where the headers and libraries of `llvm` are, if they are.
fn prefix(llvm: u32) -> Option<PathBuf> {
    let prefix = PathBuf::from(format!("/usr/lib/llvm-{llvm}"));
    let developed = prefix.join("bin/llvm-config").is_file() && prefix.join("include").is_dir();
    developed.then_some(prefix)
}

fn package(llvm: u32) -> String {
    format!("llvm-{llvm}-dev")
}

/// What to do when nothing worked.
fn by_hand(compiler: &Compiler, own: &Path, target: &Path) -> String {
    let needed = compiler.llvm().unwrap_or(NEWEST_LLVM);
    if needed > NEWEST_LLVM {
        return format!(
            "the compiler {} has LLVM {needed}, bpf-linker {VERSION} knows none above {NEWEST_LLVM}.\n\
             Use an older compiler, then try again:\n    \
             rustup toolchain install 1.95.0 --component rust-src\n    rustup override set 1.95.0",
            compiler.rustc.display()
        );
    }
    let why = if own.is_file() {
        format!(
            "\nTo see why {} does not do:\n    {}",
            own.display(),
            probe::by_hand(compiler, own, target)
        )
    } else {
        String::new()
    };
    format!(
        "no bpf-linker with LLVM {needed} or newer was found or could be built.\n\
         Run these by hand, then try again (elsewhere than on Debian and Ubuntu the package and the \
         folder have other names):\n    \
         sudo apt-get install {}\n    LLVM_PREFIX=/usr/lib/llvm-{needed} cargo {}{why}",
        package(needed),
        install(needed).join(" "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiler(sysroot: &Path, llvm: u32) -> Compiler {
        Compiler {
            cargo: sysroot.join("bin/cargo"),
            rustc: sysroot.join("bin/rustc"),
            version: format!("rustc 1.95.0\nrelease: 1.95.0\nLLVM version: {llvm}.1.2"),
        }
    }

    #[test]
    fn a_failure_names_the_commands_to_run() {
        let nowhere = Path::new("/nowhere");
        let said = by_hand(&compiler(nowhere, 22), nowhere, nowhere);
        assert!(said.contains("sudo apt-get install llvm-22-dev\n"));
        assert!(said.contains(
            "LLVM_PREFIX=/usr/lib/llvm-22 cargo install bpf-linker@0.13.0 --locked \
             --no-default-features --features llvm-22 --bins"
        ));
        assert!(!said.contains("To see why"));
    }

    #[test]
    fn a_compiler_that_is_too_new_is_said_to_be() {
        let nowhere = Path::new("/nowhere");
        let said = by_hand(&compiler(nowhere, 24), nowhere, nowhere);
        assert!(said.contains("LLVM 24"));
        assert!(said.contains("rustup override set 1.95.0"));
    }
}
