//! The folder of convictions: one file for each node that was convicted of announcing two epochs under one
//! number. What is in them is signed by the convicted; nothing is secret.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use nexus0_core::conviction::{Conviction, ConvictionError};
use nexus0_core::id::MeshId;
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::file::{PUBLIC, Replace, io, make_folder, read_text, write};
use crate::hex;

/// Name of the folder in a state folder.
pub const CONVICTIONS_FOLDER: &str = "convictions";

/// Most files: a mesh whose root grants more cheats than this has other worries.
const MAX_KEPT: usize = 256;

const REMEDY: &str =
    "start again: the node then follows that anchor until somebody shows it the proof anew";

/// Where convictions of a mesh are kept.
#[derive(Clone, Debug)]
pub struct ConvictionsFolder {
    path: PathBuf,
    mesh: MeshId,
}

#[derive(Serialize, Deserialize)]
struct Text {
    schema: u32,
    conviction: String,
    #[serde(default)]
    mesh_id: String,
    #[serde(default)]
    node: String,
}

impl ConvictionsFolder {
    /// The one in this state folder, of the mesh with this root.
    pub fn new(state: &Path, root: [u8; 32]) -> Self {
        Self {
            path: state.join(CONVICTIONS_FOLDER),
            mesh: MeshId::of(&root),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A conviction from elsewhere, if it is one in this mesh.
    pub fn verify(&self, bytes: &[u8]) -> Result<Conviction, ConvictionError> {
        Conviction::parse(bytes, self.mesh)
    }

    /// Every conviction kept, by file name; none if there is no folder yet.
    pub fn load(&self) -> Result<Vec<Conviction>, StoreError> {
        self.files()?.iter().map(|path| self.read(path)).collect()
    }

    /// Keeps a conviction, once; whether it was written. Beyond 256 nothing is.
    pub fn keep(&self, conviction: &Conviction) -> Result<bool, StoreError> {
        let path = self.path.join(format!("{}.json", conviction.signer()));
        if path.exists() || self.files()?.len() >= MAX_KEPT {
            return Ok(false);
        }
        make_folder(&self.path)?;
        let text = Text {
            schema: 1,
            conviction: hex::encode(&conviction.bytes()),
            mesh_id: self.mesh.to_string(),
            node: conviction.signer().to_string(),
        };
        let mut text = serde_json::to_string_pretty(&text).unwrap_or_default();
        text.push('\n');
        write(&path, text.as_bytes(), PUBLIC, Replace::Yes)?;
        Ok(true)
    }

    fn files(&self) -> Result<Vec<PathBuf>, StoreError> {
        let entries = match fs::read_dir(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(io("read folder", &self.path))?,
        };
        let paths = entries.map(|entry| entry.map(|entry| entry.path()));
        let paths: Result<Vec<_>, _> = paths.collect();
        let mut paths = paths.map_err(io("read folder", &self.path))?;
        paths.retain(|path| path.extension().is_some_and(|end| end == "json"));
        paths.sort();
        Ok(paths)
    }

    fn read(&self, path: &Path) -> Result<Conviction, StoreError> {
        let text = read_text(path, REMEDY)?;
        self.parse(&text).map_err(|what| StoreError::Damaged {
            path: path.to_owned(),
            what,
            remedy: REMEDY.into(),
        })
    }

    fn parse(&self, text: &str) -> Result<Conviction, String> {
        let text: Text = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if text.schema != 1 {
            let schema = text.schema;
            return Err(format!("its schema is {schema}, this program reads 1"));
        }
        let bytes =
            hex::decode(&text.conviction).map_err(|error| format!("conviction: {error}"))?;
        self.verify(&bytes).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_folder::TestFolder;

    /// The mesh root and the contradiction of the published vectors.
    fn published() -> ([u8; 32], Conviction) {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../../docs/vectors.json")).unwrap();
        let bytes = |text: &serde_json::Value| hex::decode(text.as_str().unwrap()).unwrap();
        let root = bytes(&vectors["mesh"]["root_public"]).try_into().unwrap();
        let body = bytes(&vectors["frames"]["PROOF"]["body"]);
        let public_key = bytes(&vectors["anchor"]["ed25519_public"]);
        let conviction = [&public_key, &body[8..]].concat();
        let mesh = MeshId::of(&root);
        (root, Conviction::parse(&conviction, mesh).unwrap())
    }

    fn folder() -> (ConvictionsFolder, Conviction, TestFolder) {
        let state = TestFolder::new();
        let (root, conviction) = published();
        (
            ConvictionsFolder::new(state.path(), root),
            conviction,
            state,
        )
    }

    #[test]
    fn no_folder_is_no_conviction_and_a_kept_one_survives_the_round_trip() {
        let (folder, conviction, _state) = folder();
        assert!(folder.load().unwrap().is_empty());
        assert!(folder.keep(&conviction).unwrap());
        assert_eq!(folder.load().unwrap(), std::slice::from_ref(&conviction));
        assert!(!folder.keep(&conviction).unwrap(), "nothing new");
    }

    #[test]
    fn a_damaged_or_foreign_conviction_is_reported_and_left_alone() {
        let (folder, conviction, state) = folder();
        folder.keep(&conviction).unwrap();
        let path = folder.files().unwrap().remove(0);
        let whole = fs::read_to_string(&path).unwrap();
        for broken in [
            whole.replace("\"conviction\": \"d", "\"conviction\": \"e"),
            whole.replace("\"schema\": 1", "\"schema\": 2"),
            whole[..40].to_owned(),
            String::new(),
        ] {
            assert_ne!(broken, whole);
            fs::write(&path, &broken).unwrap();
            let error = folder.load().unwrap_err();
            assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
            assert!(!folder.keep(&conviction).unwrap());
            assert_eq!(fs::read_to_string(&path).unwrap(), broken);
        }
        fs::write(&path, &whole).unwrap();
        let elsewhere = ConvictionsFolder::new(state.path(), [7; 32]);
        let error = elsewhere.load().unwrap_err().to_string();
        assert!(error.contains("in mesh"), "{error}");
    }

    #[test]
    fn no_more_than_256_are_kept() {
        let (folder, conviction, _state) = folder();
        make_folder(folder.path()).unwrap();
        for other in 0..MAX_KEPT {
            fs::write(folder.path().join(format!("{other}.json")), "").unwrap();
        }
        assert!(!folder.keep(&conviction).unwrap());
    }
}
