//! The file that `mesh grant` writes and `run` reads: JSON with the grant and the root's public key.
//! Names and numbers stand beside the bytes for people; only the signed bytes count.

use std::path::Path;

use nexus0_core::grant::{Grant, GrantError};
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::file::{PUBLIC, Replace, read_text, write};
use crate::hex;

/// Name of the grant in a node's state folder.
pub const GRANT_FILE: &str = "grant.json";

const REMEDY: &str = "have the mesh root issue a new one with `nexus0 mesh grant`";

/// A grant and the root it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantFile {
    /// The root's public key.
    pub root: [u8; 32],
    /// The grant.
    pub grant: Grant,
}

#[derive(Serialize, Deserialize)]
struct Text {
    schema: u32,
    grant: String,
    mesh_root: String,
    #[serde(default)]
    mesh_id: String,
    #[serde(default)]
    node_id: String,
    #[serde(default)]
    name: String,
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    zone: String,
    #[serde(default)]
    ego: u8,
    #[serde(default)]
    serial: u32,
}

impl GrantFile {
    /// Reads and verifies a grant file. With `pinned`, the root must be that one.
    pub fn load(path: &Path, pinned: Option<&[u8; 32]>) -> Result<Self, StoreError> {
        let text = read_text(path, REMEDY)?;
        Self::parse(&text, pinned).map_err(|what| StoreError::Damaged {
            path: path.to_owned(),
            what,
            remedy: REMEDY.into(),
        })
    }

    /// Writes the file anew; one that stands there is replaced only by a newer grant of the same node.
    pub fn save(&self, path: &Path) -> Result<(), StoreError> {
        let same_node = |old: &Self| old.grant.public_key() == self.grant.public_key();
        let replace = match Self::load(path, Some(&self.root)) {
            Ok(old) if same_node(&old) => Replace::Yes,
            _ => Replace::No,
        };
        write(path, self.text().as_bytes(), PUBLIC, replace)
    }

    /// The file's text.
    pub fn text(&self) -> String {
        let Self { root, grant } = self;
        let text = Text {
            schema: 1,
            grant: hex::encode(grant.bytes()),
            mesh_root: hex::encode(root),
            mesh_id: nexus0_core::id::MeshId::of(root).to_string(),
            node_id: grant.node_id().to_string(),
            name: grant.name().into(),
            kind: grant.kind().name().into(),
            zone: grant.zone().into(),
            ego: grant.ego(),
            serial: grant.serial(),
        };
        let mut text = serde_json::to_string_pretty(&text).unwrap_or_default();
        text.push('\n');
        text
    }

    fn parse(text: &str, pinned: Option<&[u8; 32]>) -> Result<Self, String> {
        let text: Text = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if text.schema != 1 {
            return Err(format!(
                "its schema is {}, this program reads 1",
                text.schema
            ));
        }
        let root = hex::decode_array(&text.mesh_root).map_err(|e| format!("mesh_root: {e}"))?;
        if pinned.is_some_and(|pinned| *pinned != root) {
            return Err("it is of another mesh than the mesh root that was named".into());
        }
        let bytes = hex::decode(&text.grant).map_err(|error| format!("grant: {error}"))?;
        let grant = Grant::parse(&bytes, &root).map_err(|error: GrantError| error.to_string())?;
        Ok(Self { root, grant })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_folder::TestFolder;
    use nexus0_core::grant::{GrantRequest, Kind, MeshRoot};
    use nexus0_core::identity::Identity;

    fn issue(node: u8, ego: u8) -> GrantFile {
        let root = MeshRoot::from_seed(&[9; 32]);
        let public_key = Identity::from_seed(&[node; 32]).public_key();
        let kind = Kind::Agent;
        let request = GrantRequest {
            public_key,
            name: "n",
            zone: "z",
            kind,
            ego,
            serial: 1,
        };
        GrantFile {
            root: root.public_key(),
            grant: root.issue(&request).unwrap(),
        }
    }

    #[test]
    fn a_grant_file_survives_the_round_trip() {
        let folder = TestFolder::new();
        let path = folder.path().join(GRANT_FILE);
        issue(1, 50).save(&path).unwrap();
        assert_eq!(GrantFile::load(&path, None).unwrap(), issue(1, 50));
        assert!(
            GrantFile::load(&path, Some(&[7; 32])).is_err(),
            "another root was named"
        );
    }

    #[test]
    fn a_grant_is_replaced_for_its_own_node_only() {
        let folder = TestFolder::new();
        let path = folder.path().join(GRANT_FILE);
        issue(1, 50).save(&path).unwrap();
        issue(1, 60).save(&path).unwrap();
        assert!(matches!(
            issue(2, 50).save(&path),
            Err(StoreError::Exists { .. })
        ));
        assert_eq!(GrantFile::load(&path, None).unwrap().grant.ego(), 60);
    }

    #[test]
    fn words_beside_the_signed_bytes_do_not_count_but_the_bytes_do() {
        let text = issue(1, 50).text();
        let words = text.replace("\"ego\": 50", "\"ego\": 90");
        assert_ne!(words, text);
        assert_eq!(GrantFile::parse(&words, None).unwrap().grant.ego(), 50);
        let at = text.find("\"grant\": \"").unwrap() + 10 + 2 * 65;
        let mut bytes = text.into_bytes();
        bytes[at] ^= 1;
        let forged = String::from_utf8(bytes).unwrap();
        assert!(
            GrantFile::parse(&forged, None)
                .unwrap_err()
                .contains("not signed")
        );
    }
}
