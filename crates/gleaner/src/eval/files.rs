//! Files of JSON lines, plain or gzipped, read one line at a time.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use flate2::read::MultiGzDecoder;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

/// A longer line is refused: it is hardly a document.
const LINE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// `NAME.gz` in the folder, else `NAME`.
pub fn find(dir: &Path, name: &str) -> Result<PathBuf> {
    let packed = dir.join(format!("{name}.gz"));
    let plain = dir.join(name);
    for path in [packed, plain] {
        if path.is_file() {
            return Ok(path);
        }
    }
    bail!("there is neither {name} nor {name}.gz in {}", dir.display())
}

/// The objects of a file, one a line; blank lines are passed over.
pub fn json_lines<T: DeserializeOwned>(path: &Path) -> Result<JsonLines<T>> {
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    let is_gzip = path.extension().is_some_and(|ending| ending == "gz");
    let reader: Box<dyn BufRead> = if is_gzip {
        Box::new(BufReader::new(MultiGzDecoder::new(file)))
    } else {
        Box::new(BufReader::new(file))
    };
    Ok(JsonLines {
        reader,
        path: path.to_owned(),
        line: 0,
        buffer: Vec::new(),
        item: PhantomData,
    })
}

/// Iterator made by [`json_lines`].
pub struct JsonLines<T> {
    reader: Box<dyn BufRead>,
    path: PathBuf,
    line: u64,
    buffer: Vec<u8>,
    item: PhantomData<T>,
}

impl<T> JsonLines<T> {
    /// Reads the next line that is not blank; false at the end.
    fn read_line(&mut self) -> Result<bool> {
        loop {
            self.buffer.clear();
            self.line += 1;
            let mut bounded = self.reader.by_ref().take(LINE_BYTES_MAX + 1);
            bounded.read_until(b'\n', &mut self.buffer)?;
            if self.buffer.is_empty() {
                return Ok(false);
            }
            if self.buffer.len() as u64 > LINE_BYTES_MAX {
                bail!("longer than {} MiB", LINE_BYTES_MAX >> 20);
            }
            if !self.buffer.trim_ascii().is_empty() {
                return Ok(true);
            }
        }
    }
}

impl<T: DeserializeOwned> Iterator for JsonLines<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        let item = match self.read_line() {
            Ok(false) => return None,
            Ok(true) => serde_json::from_slice(&self.buffer).map_err(anyhow::Error::from),
            Err(error) => Err(error),
        };
        Some(item.with_context(|| format!("read line {} of {}", self.line, self.path.display())))
    }
}

/// An id that is written as a string or as a number.
pub fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Id {
        Text(String),
        Number(serde_json::Number),
    }
    Ok(match Id::deserialize(deserializer)? {
        Id::Text(text) => text,
        Id::Number(number) => number.to_string(),
    })
}

/// Writes objects to a file, one a line.
pub struct LineWriter {
    out: std::io::BufWriter<File>,
    path: PathBuf,
}

impl LineWriter {
    pub fn create(path: &Path) -> Result<LineWriter> {
        let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
        Ok(LineWriter {
            out: std::io::BufWriter::new(file),
            path: path.to_owned(),
        })
    }

    pub fn write(&mut self, value: &impl Serialize) -> Result<()> {
        serde_json::to_writer(&mut self.out, value)
            .map_err(anyhow::Error::from)
            .and_then(|()| Ok(self.out.write_all(b"\n")?))
            .with_context(|| format!("write {}", self.path.display()))
    }

    pub fn finish(mut self) -> Result<()> {
        self.out
            .flush()
            .with_context(|| format!("write {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Item {
        #[serde(rename = "_id", deserialize_with = "id")]
        id: String,
    }

    fn read(text: &str) -> Vec<Result<Item>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("items.jsonl");
        std::fs::write(&path, text).unwrap();
        json_lines(&path).unwrap().collect()
    }

    #[test]
    fn ids_may_be_numbers_and_blank_lines_do_not_count() {
        let items = read("{\"_id\": \"a\"}\n\n  \n{\"_id\": 7}");
        let ids: Vec<String> = items.into_iter().map(|item| item.unwrap().id).collect();
        assert_eq!(ids, ["a", "7"]);
    }

    #[test]
    fn a_broken_line_is_named() {
        let items = read("{\"_id\": \"a\"}\nnonsense\n");
        let error = items[1].as_ref().unwrap_err();
        assert!(error.to_string().contains("line 2 of"), "{error}");
    }

    #[test]
    fn gzip_comes_first() {
        let dir = tempfile::tempdir().unwrap();
        assert!(find(dir.path(), "gold.jsonl").is_err());
        std::fs::write(dir.path().join("gold.jsonl"), "{\"_id\": 1}\n").unwrap();
        assert_eq!(
            find(dir.path(), "gold.jsonl").unwrap(),
            dir.path().join("gold.jsonl")
        );
        let packed = dir.path().join("gold.jsonl.gz");
        let mut encoder =
            flate2::write::GzEncoder::new(File::create(&packed).unwrap(), Default::default());
        encoder.write_all(b"{\"_id\": 2}\n").unwrap();
        encoder.finish().unwrap();
        assert_eq!(find(dir.path(), "gold.jsonl").unwrap(), packed);
        let item: Item = json_lines(&packed).unwrap().next().unwrap().unwrap();
        assert_eq!(item.id, "2");
    }
}
