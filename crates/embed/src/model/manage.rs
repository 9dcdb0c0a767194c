//! What `gleaner model show|install` need.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::Parsed;
use super::bytes::read_in_pieces;
use crate::error::{ModelError, ModelErrorKind};

/// Name of the one model this crate can run.
pub(crate) const MODEL_NAME: &str = "multilingual-e5-small";

/// A model file, described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelInfo {
    pub name: String,
    pub dims: usize,
    pub layers: usize,
    /// Pieces of text the tokenizer knows, special tokens not counted.
    pub vocab: usize,
    pub bytes: u64,
    pub sha256: String,
    pub pruned: bool,
}

/// Opens a model file, checks it whole and describes it.
pub fn inspect(path: &Path) -> Result<ModelInfo, ModelError> {
    let (_bytes, parsed, _) = super::open(path)?;
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    let bytes = read_in_pieces(path, |piece| digest.update(piece))?;
    Ok(describe(&parsed, bytes, hex(digest.finish().as_ref())))
}

/// Describes the model inside the program.
pub fn inspect_bundled() -> Result<ModelInfo, ModelError> {
    let bytes = crate::bundled::bundled_model();
    let parsed = Parsed::parse(bytes)?;
    Ok(describe(&parsed, bytes.len() as u64, sha256_hex(bytes)))
}

fn describe(parsed: &Parsed, bytes: u64, sha256: String) -> ModelInfo {
    ModelInfo {
        name: MODEL_NAME.to_owned(),
        dims: parsed.shape.dims,
        layers: parsed.shape.layers,
        vocab: parsed.vocabulary.len(),
        bytes,
        sha256,
        pruned: parsed.pruned,
    }
}

/// Checks the model file `src` and copies it into `dir`, replacing the one
/// there only once the copy is complete. Returns its new path.
pub fn install(src: &Path, dir: &Path) -> Result<PathBuf, ModelError> {
    inspect(src)?;
    std::fs::create_dir_all(dir)
        .map_err(|e| ModelError::io(format!("create folder {}", dir.display()), e))?;
    let target = dir.join(format!("{MODEL_NAME}.bin"));
    let temporary = temporary_beside(&target);
    let copied = std::fs::copy(src, &temporary)
        .map_err(|e| ModelError::io(format!("copy model to {}", temporary.display()), e))
        .and_then(|_| inspect(&temporary))
        .and_then(|_| {
            std::fs::File::open(&temporary)
                .and_then(|f| f.sync_all())
                .and_then(|()| std::fs::rename(&temporary, &target))
                .map_err(|e| ModelError::io(format!("put model at {}", target.display()), e))
        });
    if copied.is_err() {
        // The error that matters is the one above; a left-over file is only untidy.
        let _ = std::fs::remove_file(&temporary);
    }
    copied.map(|()| target)
}

/// Writes a file so that its name never shows a part of it.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> Result<(), ModelError> {
    if path.is_dir() {
        return Err(ModelError::new(
            ModelErrorKind::Io,
            format!("{} is a folder, not a file", path.display()),
        ));
    }
    let temporary = temporary_beside(path);
    let written = std::fs::File::create(&temporary)
        .and_then(|mut file| {
            file.write_all(content)?;
            file.sync_all()
        })
        .and_then(|()| std::fs::rename(&temporary, path));
    written.map_err(|e| {
        let _ = std::fs::remove_file(&temporary);
        ModelError::io(format!("write model file {}", path.display()), e)
    })
}

pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, b| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{b:02x}");
        out
    })
}

fn temporary_beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}
