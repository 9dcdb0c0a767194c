//! `--record-rules FILE`: where on a source's pages each fact stands.

use std::fs::File;
use std::io::Read;

use anyhow::{Context, Result};
use extract::RecordRules;
use serde_json::Value;

use crate::app::UsageError;

/// Far more than any rules need: each of their texts is bounded.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// Reads rules from a file, or from standard input for `-`, and makes sure
/// that they can be used.
pub fn read(path: &str) -> Result<Value> {
    let mut text = String::new();
    let source: Box<dyn Read> = if path == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(path).with_context(|| format!("open {path}"))?)
    };
    source
        .take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("read record rules from {path}"))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        let problem = format!("{path} is larger than {} KiB", FILE_BYTES_MAX >> 10);
        return Err(UsageError(problem).into());
    }
    let json: Value = serde_json::from_str(&text)
        .map_err(|error| UsageError(format!("{path} is no JSON: {error}")))?;
    compile(&json)?;
    Ok(json)
}

/// Rules ready to be applied.
pub fn compile(json: &Value) -> Result<RecordRules> {
    RecordRules::from_json(json)
        .map_err(|error| UsageError(format!("record rules: {error}")).into())
}
