//! The mesh of a lab: an identity for every node, and a grant from a root in the files that `nexus0 run`
//! reads, or, in an open mesh, what the node says of itself.

use std::path::{Path, PathBuf};

use anyhow::Result;
use nexus0_core::grant::{GrantRequest, Kind};
use nexus0_core::id::MeshId;
use nexus0_core::identity::Identity;
use nexus0_core::open::{MAX_OPEN_EGO, open_root};

use crate::lab::options::Options;
use crate::store::{GRANT_FILE, GrantFile, MeshRootFile, load_or_create_identity};

/// Below every other node's.
const LATE_EGO: u8 = 5;
const BEST_EGO: u8 = 90;
const ZONE: &str = "lab";
const KINDS: [Kind; 4] = [Kind::Bridge, Kind::RigHub, Kind::DataMule, Kind::Agent];

/// A node that the lab admitted.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// Its name.
    pub name: String,
    /// Its node id, hexadecimal.
    pub id: String,
    /// Its ego.
    pub ego: u8,
    /// Its state folder.
    pub state_dir: PathBuf,
    /// What `run` is told of it where no grant says it.
    pub says: Vec<String>,
}

/// The mesh and its nodes.
pub struct Mesh {
    /// Its public identity.
    pub id: MeshId,
    /// Its name if it is open: everybody who knows it can join.
    pub open: Option<String>,
    /// Node 1 first.
    pub nodes: Vec<Admitted>,
}

impl Mesh {
    /// Makes a mesh with its nodes below `folder`, those that join late among them. `name` is what an open
    /// one is called.
    pub fn create(folder: &Path, name: &str, options: &Options) -> Result<Self> {
        let root = if options.open {
            Root::Open(name.to_owned())
        } else {
            Root::Closed(Box::new(MeshRootFile::create(&folder.join("root"))?))
        };
        let nodes = (1..=options.nodes + options.late())
            .map(|number| root.admit(folder, number, ego(number, options)))
            .collect::<Result<_>>()?;
        Ok(Self {
            id: root.mesh_id(),
            open: options.open.then(|| name.to_owned()),
            nodes,
        })
    }

    /// Whether the lab gave this node id a grant.
    pub fn admitted(&self, id: &str) -> bool {
        self.nodes.iter().any(|node| node.id == id)
    }

    /// A text with node ids replaced by names.
    pub fn with_names(&self, text: &str) -> String {
        self.nodes.iter().fold(text.to_owned(), |text, node| {
            let both = format!("{} ({})", node.name, node.id);
            text.replace(&both, &node.name)
                .replace(&node.id, &node.name)
        })
    }

    /// The name of a node id, or the id.
    pub fn name<'a>(&'a self, id: &'a str) -> &'a str {
        self.nodes
            .iter()
            .find(|node| node.id == id)
            .map_or(id, |node| &node.name)
    }
}

/// Who says what a node is.
enum Root {
    Closed(Box<MeshRootFile>),
    /// Each node itself; who knows this name is in.
    Open(String),
}

impl Root {
    fn mesh_id(&self) -> MeshId {
        match self {
            Self::Closed(root) => root.root.mesh_id(),
            Self::Open(name) => open_root(name).mesh_id(),
        }
    }

    fn admit(&self, folder: &Path, number: usize, ego: u8) -> Result<Admitted> {
        let name = format!("n{number}");
        let kind = KINDS[number % KINDS.len()];
        let state_dir = folder.join(&name).join("state");
        let (identity, _, _) = load_or_create_identity(&state_dir)?;
        let says = match self {
            Self::Closed(root) => {
                let grant = grant(root, &identity, &name, kind, ego)?;
                grant.save(&state_dir.join(GRANT_FILE))?;
                Vec::new()
            }
            Self::Open(mesh) => says(mesh, &name, kind, ego),
        };
        Ok(Admitted {
            name,
            id: identity.node_id().to_string(),
            ego,
            state_dir,
            says,
        })
    }
}

fn grant(
    root: &MeshRootFile,
    identity: &Identity,
    name: &str,
    kind: Kind,
    ego: u8,
) -> Result<GrantFile> {
    let grant = root.root.issue(&GrantRequest {
        public_key: identity.public_key(),
        name,
        zone: ZONE,
        kind,
        ego,
        serial: root.next_serial()?,
    })?;
    let root = root.root.public_key();
    Ok(GrantFile { root, grant })
}

fn says(mesh: &str, name: &str, kind: Kind, ego: u8) -> Vec<String> {
    let ego = ego.to_string();
    let flags = [
        ("--open", mesh),
        ("--name", name),
        ("--type", kind.name()),
        ("--zone", ZONE),
        ("--ego", &ego),
    ];
    let words = flags.into_iter().flat_map(|(flag, value)| [flag, value]);
    words.map(str::to_owned).collect()
}

/// The middle node gets the highest ego, so that neither age nor number explains the election. Nodes that
/// join late never lead.
fn ego(number: usize, options: &Options) -> u8 {
    if number > options.nodes {
        return LATE_EGO;
    }
    if options.equal_egos {
        return MAX_OPEN_EGO;
    }
    let best = usize::from(if options.open { MAX_OPEN_EGO } else { BEST_EGO });
    let from_middle = number.abs_diff(options.nodes.div_ceil(2));
    best.saturating_sub(from_middle * (best * 8 / 9) / options.nodes) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_node_has_the_highest_ego() {
        let egos = |options: &Options| -> Vec<u8> {
            (1..=options.nodes)
                .map(|number| ego(number, options))
                .collect()
        };
        let closed = Options::default();
        assert_eq!(egos(&closed), [58, 74, 90, 74, 58]);
        let open = Options {
            open: true,
            ..Options::default()
        };
        assert_eq!(egos(&open), [33, 42, 50, 42, 33]);
        assert_eq!(ego(6, &open), LATE_EGO);
        let equal = Options {
            equal_egos: true,
            ..Options::default()
        };
        assert_eq!(egos(&equal), [50; 5]);
    }
}
