//! A closed mesh for the lab: a root, and an identity and a grant for every node, in the files that
//! `nexus0 run` reads.

use std::path::{Path, PathBuf};

use anyhow::Result;
use nexus0_core::grant::{GrantRequest, Kind};

use crate::store::{GRANT_FILE, GrantFile, MeshRootFile, load_or_create_identity};

/// Below every other node's.
const LATE_EGO: u8 = 5;

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
}

/// The mesh's root and its nodes.
pub struct Mesh {
    /// The root.
    pub root: MeshRootFile,
    /// Node 1 first.
    pub nodes: Vec<Admitted>,
}

impl Mesh {
    /// Makes a root and admits `count` nodes below `folder`, and `late` more that never lead.
    pub fn create(folder: &Path, count: usize, late: usize, equal_egos: bool) -> Result<Self> {
        let root = MeshRootFile::create(&folder.join("root"))?;
        let ego = |number| {
            if number <= count {
                ego(number, count, equal_egos)
            } else {
                LATE_EGO
            }
        };
        let nodes = (1..=count + late)
            .map(|number| admit(&root, folder, number, ego(number)))
            .collect::<Result<_>>()?;
        Ok(Self { root, nodes })
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

/// The middle node gets the highest ego, so that neither age nor number explains the election.
fn ego(number: usize, count: usize, equal: bool) -> u8 {
    if equal {
        return 50;
    }
    let from_middle = number.abs_diff(count.div_ceil(2));
    (90_usize.saturating_sub(from_middle * 80 / count)) as u8
}

fn admit(root: &MeshRootFile, folder: &Path, number: usize, ego: u8) -> Result<Admitted> {
    const KINDS: [Kind; 4] = [Kind::Bridge, Kind::RigHub, Kind::DataMule, Kind::Agent];
    let name = format!("n{number}");
    let state_dir = folder.join(&name).join("state");
    let (identity, _, _) = load_or_create_identity(&state_dir)?;
    let grant = root.root.issue(&GrantRequest {
        public_key: identity.public_key(),
        name: &name,
        zone: "lab",
        kind: KINDS[number % KINDS.len()],
        ego,
        serial: root.next_serial()?,
    })?;
    let file = GrantFile {
        root: root.root.public_key(),
        grant,
    };
    file.save(&state_dir.join(GRANT_FILE))?;
    Ok(Admitted {
        name,
        id: identity.node_id().to_string(),
        ego,
        state_dir,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_node_has_the_highest_ego() {
        let egos: Vec<u8> = (1..=5).map(|number| ego(number, 5, false)).collect();
        assert_eq!(egos, [58, 74, 90, 74, 58]);
        assert!((1..=100).all(|number| ego(number, 100, false) <= 100));
        assert_eq!(ego(1, 5, true), ego(3, 5, true));
    }
}
