//! The file of the revocation list: the root writes it next to its key, every node keeps the newest it has
//! seen in its state folder. The list is public and signed; nothing in it is secret.

use std::path::{Path, PathBuf};

use nexus0_core::revocation::{RevocationError, Revocations};
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::file::{PUBLIC, Replace, lock, make_folder, read_text, write};
use crate::hex;

/// Name of the list in a state folder and in the root's folder.
pub const REVOCATIONS_FILE: &str = "revocations.json";

const REMEDY: &str = "copy revocations.json anew from the mesh root or another node";

/// The list that is kept in a folder.
#[derive(Clone, Debug)]
pub struct RevocationsFile {
    path: PathBuf,
    folder: PathBuf,
    root: [u8; 32],
}

#[derive(Serialize, Deserialize)]
struct Text {
    schema: u32,
    list: String,
    #[serde(default)]
    mesh_id: String,
    #[serde(default)]
    number: u32,
    #[serde(default)]
    floor: u32,
    #[serde(default)]
    revoked: Vec<String>,
}

impl RevocationsFile {
    /// The file in this folder, of the mesh with this root.
    pub fn new(folder: &Path, root: [u8; 32]) -> Self {
        Self {
            path: folder.join(REVOCATIONS_FILE),
            folder: folder.to_owned(),
            root,
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The list kept; number 0 if there is none yet.
    pub fn load(&self) -> Result<Revocations, StoreError> {
        match load(&self.path, &self.root) {
            Err(StoreError::Missing { .. }) => Ok(Revocations::default()),
            other => other,
        }
    }

    /// A list from elsewhere, if the root of this mesh signed it.
    pub fn verify(&self, bytes: &[u8]) -> Result<Revocations, RevocationError> {
        Revocations::parse(bytes, &self.root)
    }

    /// Keeps a list unless the same or a newer one is kept already; whether it was written.
    pub fn keep(&self, list: &Revocations) -> Result<bool, StoreError> {
        make_folder(&self.folder)?;
        let _lock = lock(&self.folder.join(".revocations.lock"))?;
        if self.load()?.number() >= list.number() {
            return Ok(false);
        }
        let text = text(list, &self.root);
        write(&self.path, text.as_bytes(), PUBLIC, Replace::Yes)?;
        Ok(true)
    }
}

/// Reads and verifies a list from any file.
pub fn load(path: &Path, root: &[u8; 32]) -> Result<Revocations, StoreError> {
    parse(&read_text(path, REMEDY)?, root).map_err(|what| StoreError::Damaged {
        path: path.to_owned(),
        what,
        remedy: REMEDY.into(),
    })
}

/// The signed bytes in the text of such a file. Who signed them is not looked at.
pub fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let text: Text = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if text.schema != 1 {
        let schema = text.schema;
        return Err(format!("its schema is {schema}, this program reads 1"));
    }
    hex::decode(&text.list).map_err(|error| format!("list: {error}"))
}

fn parse(text: &str, root: &[u8; 32]) -> Result<Revocations, String> {
    Revocations::parse(&bytes(text)?, root).map_err(|error| error.to_string())
}

/// The text of such a file.
pub fn text(list: &Revocations, root: &[u8; 32]) -> String {
    let text = Text {
        schema: 1,
        list: hex::encode(list.bytes()),
        mesh_id: nexus0_core::id::MeshId::of(root).to_string(),
        number: list.number(),
        floor: list.floor(),
        revoked: list.revoked().iter().map(ToString::to_string).collect(),
    };
    let mut text = serde_json::to_string_pretty(&text).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_folder::TestFolder;
    use nexus0_core::grant::MeshRoot;
    use nexus0_core::id::NodeId;
    use std::fs;

    fn list(number: u32) -> (RevocationsFile, Revocations, TestFolder) {
        let root = MeshRoot::from_seed(&[9; 32]);
        let folder = TestFolder::new();
        let file = RevocationsFile::new(folder.path(), root.public_key());
        let list = root.revoke(number, 0, &[NodeId([7; 8])].into()).unwrap();
        (file, list, folder)
    }

    #[test]
    fn no_file_is_no_list_and_a_kept_one_survives_the_round_trip() {
        let (file, list, _folder) = list(3);
        assert_eq!(file.load().unwrap().number(), 0);
        assert!(file.keep(&list).unwrap());
        assert_eq!(file.load().unwrap(), list);
        assert!(!file.keep(&list).unwrap(), "nothing new");
    }

    #[test]
    fn an_older_list_never_replaces_a_newer_one() {
        let (file, newer, _folder) = list(3);
        file.keep(&newer).unwrap();
        assert!(!file.keep(&list(2).1).unwrap());
        assert_eq!(file.load().unwrap().number(), 3);
    }

    #[test]
    fn a_damaged_or_foreign_list_is_reported_and_left_alone() {
        let (file, list, _folder) = list(3);
        file.keep(&list).unwrap();
        let whole = fs::read_to_string(file.path()).unwrap();
        for broken in [
            whole.replace("\"list\": \"0", "\"list\": \"1"),
            whole[..40].to_owned(),
            String::new(),
        ] {
            fs::write(file.path(), &broken).unwrap();
            let error = file.load().unwrap_err();
            assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
            assert!(file.keep(&list).is_err(), "nothing is written over it");
            assert_eq!(fs::read_to_string(file.path()).unwrap(), broken);
        }
        fs::write(file.path(), &whole).unwrap();
        assert!(load(file.path(), &[7; 32]).is_err(), "another root");
    }

    #[test]
    fn words_beside_the_signed_bytes_do_not_count() {
        let (file, list, _folder) = list(3);
        file.keep(&list).unwrap();
        let text = fs::read_to_string(file.path()).unwrap();
        fs::write(file.path(), text.replace("\"number\": 3", "\"number\": 9")).unwrap();
        assert_eq!(file.load().unwrap().number(), 3);
    }
}
